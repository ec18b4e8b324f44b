"""A profile with every key, valid; the country code +210 is unassigned, so that no test names a person's number."""

from importlib import resources

PEOPLE = ("on_call", "devops_lead", "ai_team", "security", "clinical_lead", "cto", "clinical_director", "ceo", "cmo")
PAGES = """
pages:
  slack_webhook: {file: /run/secrets/slack-webhook}
  pagerduty_routing_key: {env: PAGERDUTY_ROUTING_KEY}
  inbox: ./pages
  order: [pagerduty, slack]
"""
EXAMPLES = ("kubernetes.yaml", "local.yaml", "full.yaml")


def example(name: str) -> str:
    """An example that comes with the package."""
    return resources.files("codeblue.profile").joinpath("examples", name).read_text(encoding="utf-8")


def full() -> str:
    """The full example with people in it."""
    people = "".join(
        f'  {role}: {{name: Ada Berg {role}, phone: "+2106831752{n}", email: {role}@hospital.org}}\n'
        for n, role in enumerate(PEOPLE)
    )
    return example("full.yaml") + PAGES + "contacts:\n" + people
