"""The stages of dvc.yaml: each wires parameters, library and files together."""

import gc
import sys

if sys.argv[0] == "-m":  # a stage begins; workers that it starts import this, too
    gc.disable()  # what is imported stays; to look for garbage in it takes an eighth of the time. run_stage enables it

from pindet.lifeline import end_with_dvc

end_with_dvc()  # before a stage imports what takes seconds to import

from pindet.given import begin  # noqa: E402

begin()  # before it imports the code that it depends on
