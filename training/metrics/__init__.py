"""Figures of merit: pure functions of scores and truth, their degenerate cases defined in each module."""

from training.metrics.calibration import expected_calibration_error
from training.metrics.classification import accuracy, best_f1_thresholds, confusion_matrix, recall
from training.metrics.detection import (
    det_curve,
    equal_error_rate,
    equal_error_rates,
    equal_error_threshold,
    threshold_at_false_alarms,
)
from training.metrics.events import Counts, Occurrence, event_counts, mean_f1, segment_counts, total
from training.metrics.geometry import Geometry, class_geometry
from training.metrics.multilabel import f1_per_label, macro_f1, two_sided_f1
from training.metrics.paired import pearson, wilcoxon
from training.metrics.precision_recall import macro_auprc, mean_average_precision, micro_auprc
from training.metrics.ranking import Ranks, precision_at, retrieval_precisions, target_ranks
from training.metrics.spread import Spread, spread

__all__ = [
    "Counts",
    "Geometry",
    "Occurrence",
    "Ranks",
    "Spread",
    "accuracy",
    "best_f1_thresholds",
    "class_geometry",
    "confusion_matrix",
    "det_curve",
    "equal_error_rate",
    "equal_error_rates",
    "equal_error_threshold",
    "event_counts",
    "expected_calibration_error",
    "f1_per_label",
    "macro_auprc",
    "macro_f1",
    "mean_average_precision",
    "mean_f1",
    "micro_auprc",
    "pearson",
    "precision_at",
    "recall",
    "retrieval_precisions",
    "segment_counts",
    "spread",
    "target_ranks",
    "threshold_at_false_alarms",
    "total",
    "two_sided_f1",
    "wilcoxon",
]
