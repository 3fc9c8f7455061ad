"""The encoding doctor: properties of event times, and which encodings suit them, before any training."""

from analysis.doctor.advice import NOTHING, Advice, advise, fitting_scale, scales, verdict
from analysis.doctor.page import doctor_figures, doctor_page, lines
from analysis.doctor.times import Times

__all__ = [
    "NOTHING", "Advice", "Times", "advise", "doctor_figures", "doctor_page", "fitting_scale", "lines", "scales", "verdict",
]  # fmt: skip
