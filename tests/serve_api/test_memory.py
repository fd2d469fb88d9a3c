"""What is made for an event and is gone with it brings no look at everything nearer."""

import subprocess
import sys

SCRIPT = """
import asyncio, gc
from pindet_serve.serving.memory import collect_rarely, keep_freed_images, return_freed

keep_freed_images()
loaded = [[] for _ in range(100_000)]
collect_rarely()
assert gc.get_freeze_count() > 100_000
looks = []
gc.callbacks.append(lambda phase, info: looks.append(info["generation"]) if phase == "stop" else None)

async def events():
    for _ in range(50):
        waiting = [asyncio.get_running_loop().create_future() for _ in range(10_000)]
        for future in waiting:
            future.set_result([])
        await asyncio.gather(*waiting)

asyncio.run(events())
return_freed()
print(looks.count(2))
"""


def test_events_for_thousands_bring_no_look_at_everything():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    without = SCRIPT.replace("\ncollect_rarely()\nassert gc.get_freeze_count() > 100_000\n", "\n")
    assert int(subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=True).stdout) > 0
