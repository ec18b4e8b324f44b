"""Where the service runs: the platform's section of a profile."""

from typing import Annotated, Literal

from pydantic import Field

from codeblue.profile.section import Section
from codeblue.profile.text import Context, EnvName, FilePath, Label, Port, Subdomain


class Kubernetes(Section):
    """The service is a Deployment."""

    kind: Literal["kubernetes"] = Field(description="The platform that runs the service.")
    context: Context = Field(
        description="Context of the kubeconfig. Required: never whatever is current at the moment.",
        examples=["prod-eu"],
    )
    kubeconfig: FilePath | None = Field(
        default=None, description="Kubeconfig file; null: $KUBECONFIG or ~/.kube/config, as kubectl finds it."
    )
    namespace: Label = Field(description="Namespace, lower case.", examples=["ai-diagnostics-prod"])
    deployment: Subdomain = Field(description="Name of the Deployment.", examples=["ai-diagnostics-api"])
    service: Label | None = Field(
        default=None, description="Name of the Service that clients use; null: tier 0, readiness of the pods only."
    )
    port: Port | None = Field(
        default=None, description="Port of the Service to probe, number or name; null: its only or first port."
    )
    container: Label | None = Field(
        default=None, description="Container whose image names the release; null: the first one."
    )
    version_env: EnvName | None = Field(
        default="RELEASE_VERSION",
        description="Variable of the container that names the version; where it is not set, the tag of the image does.",
    )


class Local(Section):
    """The service is a set of processes on this machine."""

    kind: Literal["local"] = Field(description="The platform that runs the service.")
    directory: FilePath = Field(
        description="Directory of the local platform, relative to the profile's file.", examples=["./local"]
    )
    workload: Label = Field(
        default="",
        description="Name of the workload.",
        json_schema_extra={"default": "<service>"},
    )


Platform = Annotated[Kubernetes | Local, Field(discriminator="kind")]
