"""vLLM servers as an engine: token ids in and out, adapters as folders, one base model on one or several servers.

    Request ── answers.body ──> fleet (which server?) ── server ──> vLLM ──> answers.read, checked by our grammar ──> Generation
    weights ── publishing ──> FOLDER/NAME@VERSION-DIGEST/ ──> loaded by every server before anybody plays

What a server is and can do is proven before it is used (``proof``). The servers run elsewhere, in environments of their own; the
extra ``vllm`` installs what talks to them.
"""
