"""What the outside world must be able to do: one protocol a file, its duties in the docstrings. No I/O here.

Rules for every port: each call has a deadline of its own and raises `Unreachable` when it passes; errors of libraries
are translated into `codeblue.model.errors`; a call that changes something takes a fence and a precondition, may be
repeated, and is refused by the target when either no longer holds. An adapter never decides.
"""
