"""Documents that authors upload: what kind they are, their text in passages, and the passages that fit a question.

:mod:`inkwire_documents.extracting` reads an upload (the api), :mod:`inkwire_documents.retrieval` finds passages (the
generator). Parsers of foreign formats are loaded only in the confined process of :mod:`inkwire_documents.worker`.
"""
