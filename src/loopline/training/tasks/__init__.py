"""What is learnt: a component per task, and the Lightning module that it trains with."""

TASKS = {
    "classification": "loopline.training.tasks.classification:ClassificationConfig",
    "regression": "loopline.training.tasks.regression:RegressionConfig",
    "translation": "loopline.training.tasks.translation:TranslationConfig",
}
