"""The stages of dvc.yaml: each wires parameters, library and files together."""

from pindet.lifeline import end_with_dvc

end_with_dvc()  # before a stage imports what takes seconds to import

from pindet.given import begin  # noqa: E402

begin()  # before it imports the code that it depends on
