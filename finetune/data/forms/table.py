"""The forms that a source may have, by name."""

from typing import Any

from finetune.data.forms.chat import CHAT
from finetune.data.forms.form import Form
from finetune.data.forms.infill import INFILL
from finetune.data.forms.text import TEXT

FORMS: dict[str, Form[Any]] = {form.name: form for form in (CHAT, TEXT, INFILL)}
