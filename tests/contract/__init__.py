"""The engine contract: every duty of ``archive.engine.contract``, run on every engine."""
