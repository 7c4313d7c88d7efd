"""The form behind a drawing: which regions are one body, who is in front of whom, heights and normals."""

from engine.imaging.form.form import WORKING_SIDE, Form, find_form

__all__ = ["WORKING_SIDE", "Form", "find_form"]
