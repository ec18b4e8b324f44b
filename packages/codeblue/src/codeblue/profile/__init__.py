"""`codeblue.yaml` → a validated, frozen `Profile`. Imports `codeblue.model` only; reads the one file, writes nothing.

`load.load(path)` is the way in; `model.Profile` is what comes out. Every problem of a file is reported at once, with
its line and its remedy. Secrets are references here (`secretref`), resolved where they are needed and nowhere before.
"""
