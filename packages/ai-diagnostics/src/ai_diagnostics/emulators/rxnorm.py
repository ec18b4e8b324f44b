"""RxNorm's REST interface: rxcui.json, rxcui/{id}/properties.json, version.json; a few common drugs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ai_diagnostics.emulators.switch import Board

# RxCUI → ingredient, with other names that RxNorm finds it by
DRUGS = {
    "11289": ("warfarin", ("coumadin", "warfarin sodium")),
    "1191": ("aspirin", ("acetylsalicylic acid", "asa")),
    "6809": ("metformin", ("glucophage", "metformin hydrochloride")),
    "29046": ("lisinopril", ("zestril", "prinivil")),
    "83367": ("atorvastatin", ("lipitor",)),
    "5640": ("ibuprofen", ("advil", "motrin")),
    "723": ("amoxicillin", ("amoxil",)),
    "161": ("acetaminophen", ("paracetamol", "tylenol")),
    "5487": ("hydrochlorothiazide", ("hctz",)),
}
_BY_NAME = {name: rxcui for rxcui, (own, others) in DRUGS.items() for name in (own, *others)}


def routes(board: Board) -> list[Route]:
    """The routes below /REST."""
    return [
        Route("/rxcui.json", board.guarded("rxnorm", find)),
        Route("/rxcui/{rxcui}/properties.json", board.guarded("rxnorm", properties)),
        Route("/version.json", board.guarded("rxnorm", version)),
    ]


async def find(request: Request) -> Response:
    """Concepts with a name; `search` 0 exact, 1 normalised, 2 best match. No match is 200 with an empty group."""
    name = request.query_params.get("name", "")
    if not name or request.query_params.get("search", "0") not in ("0", "1", "2"):
        return PlainTextResponse("Bad request: name is required, search is 0, 1 or 2", 400)
    exact = request.query_params.get("search", "0") == "0"
    key = name.casefold() if exact else " ".join(name.casefold().replace("-", " ").split())
    rxcui = _BY_NAME.get(key)
    return JSONResponse({"idGroup": {"rxnormId": [rxcui]} if rxcui else {}})


async def properties(request: Request) -> Response:
    """The properties of a concept; an unknown one is 200 with an empty object."""
    rxcui = request.path_params["rxcui"]
    if rxcui not in DRUGS:
        return JSONResponse({})
    found = {
        "rxcui": rxcui,
        "name": DRUGS[rxcui][0],
        "synonym": "",
        "tty": "IN",
        "language": "ENG",
        "suppress": "N",
        "umlscui": "",
    }
    return JSONResponse({"properties": found})


async def version(_request: Request) -> Response:
    """The version of the data."""
    return JSONResponse({"version": "04-Aug-2026", "apiVersion": "3.1.0-emulator"})
