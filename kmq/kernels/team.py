"""Sharing out work between threads that stay inside compiled code.

Waking a thread takes longer than a whole iteration on a photo. A helper therefore enters the
kernel that does the work once, and waits there, spinning, for the next iteration; it leaves when
none has come for a while. Chunks of work are numbered for the life of a team: the leader
publishes up to which number there is work, everyone claims the next number, and whoever works
one off counts it done. A helper that comes late, or never, costs nothing but its help.
"""

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel

# Places of the counters in a team's board, a cache line apart.
LIMIT, NEXT, DONE, LEAVE, FAILED = 0, 8, 16, 24, 32
BOARD = 40
# Looks at the board after which the leader lets its core go while it waits: some 100 microseconds.
_LEADS_PATIENCE = 400_000
# Looks at the board without work before a helper leaves; together some 200 microseconds.
_PATIENCE = 800_000


def _place(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Pointer to the counter that the first two arguments name."""
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


def _read(typingctx: Any, board: Any, counter: Any) -> Any:
    """Read a counter, and with it all that was written before it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _place(context, builder, signature, args)
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(board, types.int64), codegen


def _publish(typingctx: Any, board: Any, counter: Any, value: Any) -> Any:
    """Write a counter, after all that was written before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _place(context, builder, signature, args)
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(board, types.int64, types.int64), codegen


def _claim(typingctx: Any, board: Any, counter: Any, expected: Any) -> Any:
    """Raise a counter by one if it still has the value expected; whether it had."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _place(context, builder, signature, args)
        raised = builder.add(args[2], args[2].type(1))
        pair = builder.cmpxchg(pointer, args[2], raised, "acq_rel", "acquire")
        return builder.zext(builder.extract_value(pair, 1), context.get_value_type(types.boolean))

    return types.boolean(board, types.int64, types.int64), codegen


def _add_one(typingctx: Any, board: Any, counter: Any) -> Any:
    """Raise a counter by one, after all that was written before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _place(context, builder, signature, args)
        builder.atomic_rmw("add", pointer, args[1].type(1), "release")
        return context.get_dummy_value()

    return types.void(board, types.int64), codegen


read: Any = intrinsic(_read)
publish: Any = intrinsic(_publish)
claim: Any = intrinsic(_claim)
add_one: Any = intrinsic(_add_one)


@kernel
def open_work(board, n_chunks):
    """Publish that there are so many chunks more, and all that was written for them.

    board  int64  inout: the team's counters
    n_chunks      number of chunks
    """
    publish(board, LIMIT, read(board, LIMIT) + n_chunks)


@kernel
def take_work(board, leads):
    """Claim the next chunk.

    board  int64  inout: the team's counters
    leads  bool   whether for the leader, who leaves when all chunks are claimed; a helper waits
                  for more
    Returns the chunk's number, to be counted done with `add_one`, or -1 where none came or the
    team was dismissed.
    """
    idle = 0
    patience = 1 if leads else _PATIENCE
    while idle < patience and read(board, LEAVE) == 0:
        number = read(board, NEXT)
        if number >= read(board, LIMIT):
            idle += 1
        elif claim(board, NEXT, number):
            return number
    return np.int64(-1)


@kernel
def await_work(board, leads):
    """Let the leader wait a while until all chunks are done, those that helpers claimed included.

    Or until a helper has failed, whose chunk nobody will do. A helper that has lost its core needs
    one, perhaps the leader's: who called the leader goes on waiting, asleep.

    board  int64  the team's counters
    leads  bool   whether for the leader
    """
    idle = 0
    while leads and idle < _LEADS_PATIENCE and read(board, FAILED) == 0:
        idle = idle + 1 if read(board, DONE) < read(board, LIMIT) else _LEADS_PATIENCE
