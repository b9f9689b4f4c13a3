"""SageMaker's container contract as checks that anybody's image can be put through: `mlops check-image`.

Flow 1 (merge to main): between build and push, or by hand on an image from elsewhere. `check` says what a
check is, `catalogue` lists them, `executor` applies them to a `subject`, `report` shows what came of it.
"""
