"""From an experiment to production and back: git tags say what is released, everything else follows them.

A version is the annotated tag ``detector@v1.2.0`` and a stage the annotated tag ``detector#production#7``, the
convention of GTO, whose commands read them. Release files in the DVC remote and aliases in MLflow are copies of what
the tags say; whoever finds them stale writes them again.
"""
