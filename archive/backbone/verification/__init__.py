"""Looking after stored files: what is there is compared with what should be, and mended from what is good.

Facts (``looking``) become findings, findings become actions (``judging``, which does nothing else), and only then is
anything done (``verify``, ``mending``); a dry run ends before that. See docs/verify.md.
"""
