"""The encoding doctor: what event times hold, and which encodings of them can work, before anything is trained."""

from analysis.doctor.advice import NOTHING, Advice, advise, fitting_scale, scales, verdict
from analysis.doctor.page import doctor_figures, doctor_page, lines
from analysis.doctor.times import Times

__all__ = [
    "NOTHING", "Advice", "Times", "advise", "doctor_figures", "doctor_page", "fitting_scale", "lines", "scales", "verdict",
]  # fmt: skip
