"""Files of responses: from the bytes on disk to answers and to a panel."""

from llmdemand.belief.files.answers import answer_of, read_answers
from llmdemand.belief.files.many import extract_files
from llmdemand.belief.files.panels import extract_file

__all__ = ["answer_of", "extract_file", "extract_files", "read_answers"]
