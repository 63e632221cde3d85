"""A process that imports all that training needs, once, and then runs pieces of code in forks of itself.

So a test can start, kill and start again real processes without paying for the imports each time. One JSON object a line:

    {"start": code, "folder": ..., "log": ...} -> pid          {"status": pid} -> exit status, -9 when killed, null while it runs

The code's standard output goes to LOG.out, its standard error to LOG.err.
"""

import json
import os
import signal
import sys
import traceback


def start(code: str, folder: str, log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, name in ((0, os.devnull), (1, log + ".out"), (2, log + ".err")):
        flags = os.O_RDWR if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(name, flags), descriptor)
    os.chdir(folder)
    try:
        exec(code, {"__name__": "__main__"})
        status = 0
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def status(pid: int) -> int | None:
    found, waited = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(waited) if found else None


def main() -> None:
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # as the command line sets it, which comes too late here
    import scipy.stats  # noqa: F401
    import torch
    import transformers.models.llama.modeling_llama  # noqa: F401
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    import detente.cli
    import detente.engines.transformers
    import detente.learning.loop
    import detente.players.llm
    import detente.progress
    import detente.reports.plots  # noqa: F401

    torch.set_num_threads(1)
    get_checkpoint_conversion_mapping("llama")  # compiles all its patterns, and keeps them
    for line in sys.stdin:
        order = json.loads(line)
        answer = status(order["status"]) if "status" in order else start(order["start"], order["folder"], order["log"])
        print(json.dumps(answer), flush=True)
    os._exit(0)  # at once: nothing has to be put in order


if __name__ == "__main__":
    main()
