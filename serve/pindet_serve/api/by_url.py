"""The images of a request that names them by URL: ``{"urls": ["https://…", …]}``."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request

from pindet_serve.api.body_room import BodyHolder
from pindet_serve.api.problems import Problem
from pindet_serve.api.signs import whole_signs
from pindet_serve.api.uploads import Upload
from pindet_serve.fetching.allowed import AllowList, NotAllowedError, UrlError
from pindet_serve.fetching.fetcher import Fetcher, FetchError, TooLargeError
from pindet_serve.settings import Settings

AT_ONCE, OF_ONE_REQUEST = 8, 4


class ByUrl:
    """Fetches the images that requests name.

    Args:
        settings: from where, how large, how long.
    """

    def __init__(self, settings: Settings) -> None:
        self._fetcher = Fetcher(AllowList(settings.url_hosts), settings.max_body_bytes, settings.url_timeout_s)
        self._most = min(settings.max_images, settings.queue_size)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch")

    def close(self) -> None:
        """End the pool."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def read(self, request: Request) -> list[Upload]:
        """Fetch the images, some at once; one that can not be had is an upload with its own problem.

        Raises:
            Problem: 400 the body names no URL; 413 it names too many.
        """
        urls = _urls(await request.body())
        if len(urls) > self._most:
            raise Problem(413, "Too many images", f"at most {self._most} images are allowed in one request")
        held: BodyHolder = request.state.held
        turns = asyncio.Semaphore(OF_ONE_REQUEST)

        async def in_turn(url: str) -> Upload:
            async with turns:
                return await self._upload(url, held)

        return await asyncio.gather(*map(in_turn, urls))

    async def _upload(self, url: str, held: BodyHolder) -> Upload:
        name = _name_of(url)
        most = self._fetcher.max_bytes
        if not held.take(most):
            detail = "other requests take all the memory that there is for images; try again"
            return Upload(name, b"", Problem(503, "Overloaded", detail, headers={"Retry-After": "1"}))
        data = b""
        try:
            data = await asyncio.get_running_loop().run_in_executor(self._pool, self._fetcher.fetch, url)
            return Upload(name, data)
        except NotAllowedError as error:
            return Upload(name, b"", Problem(403, "URL not allowed", str(error)))
        except UrlError as error:
            return Upload(name, b"", Problem(422, "Invalid parameters", str(error)))
        except TooLargeError as error:
            return Upload(name, b"", Problem(413, "Too many bytes", str(error)))
        except FetchError as error:
            return Upload(name, b"", Problem(424, "Image not fetched", str(error)))
        finally:
            held.give_back(most - len(data))


def _name_of(url: str) -> str:
    """The last part of a URL's path; empty for what is no URL, whose fault is found by who fetches it."""
    try:
        return urlsplit(url).path.rpartition("/")[2] if url.isprintable() else ""
    except ValueError:
        return ""


def _urls(body: bytes) -> list[str]:
    content: Any = None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "Invalid body", f"the body is no JSON: {error}") from None
    urls = content.get("urls") if isinstance(content, dict) else None
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        raise Problem(400, "Invalid body", 'the body names no image; allowed is {"urls": ["https://…", …]}')
    return [whole_signs(url) for url in urls]
