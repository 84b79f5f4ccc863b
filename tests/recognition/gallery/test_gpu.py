"""FAISS's GPU calls are stood in for: no GPU is at hand where the tests run."""

import faiss
import numpy as np
import pytest

from recognition.gallery.search.index import TemplateIndex

D = 8


class Stub:
    """What FAISS would do on a GPU, done here, and counted."""

    def __init__(self) -> None:
        self.copies = 0
        self.searches = 0

    def copy(self, resources: object, device: int, index: faiss.Index) -> "Copy":
        self.copies += 1
        return Copy(self, faiss.clone_index(index))


class Copy:
    def __init__(self, stub: Stub, index: faiss.Index) -> None:
        self._stub, self._index = stub, index

    def search(self, *given: object, **options: object) -> object:
        self._stub.searches += 1
        return self._index.search(*given, **options)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    found = Stub()
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", found.copy, raising=False)
    return found


def filled() -> tuple[TemplateIndex, np.ndarray]:
    vectors = np.eye(D, dtype=np.float32)
    index = TemplateIndex(D)
    index.add(np.arange(1, 6), vectors[:5])
    return index, vectors


def test_a_copy_is_searched_and_made_anew_after_a_change(stub: Stub) -> None:
    index, vectors = filled()
    assert index.search(vectors[:1], 1)[1].item() == 1
    assert index.search(vectors[1:2], 1)[1].item() == 2
    assert (stub.copies, stub.searches) == (1, 2)
    index.add(np.array([9]), vectors[7:8])
    assert index.search(vectors[7:8], 1)[1].item() == 9
    assert (stub.copies, stub.searches) == (2, 3)
    index.follow(np.arange(1, 5), lambda ids: vectors[:0])
    assert 9 not in index.search(vectors[7:8], 4)[1]
    assert stub.copies == 3


def test_what_a_gpu_cannot_do_is_done_here(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    index, vectors = filled()
    among = np.array([2, 3])
    assert index.search(vectors[:1], 1, among)[1].item() in among
    assert stub.searches == 0

    def refuse(*_: object) -> None:
        raise RuntimeError("no such index on a GPU")

    monkeypatch.setattr(faiss, "index_cpu_to_gpu", refuse, raising=False)
    assert index.search(vectors[:1], 1)[1].item() == 1
    assert stub.searches == 0


def test_what_is_written_is_the_computer_s_own(stub: Stub) -> None:
    index, vectors = filled()
    index.search(vectors[:1], 1)
    parts: list[bytes] = []
    index.write(lambda part: parts.append(bytes(part)) or len(part))
    read = faiss.deserialize_index(np.frombuffer(b"".join(parts), np.uint8))
    assert isinstance(read, faiss.IndexIDMap2)


def test_without_a_gpu_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub()
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", stub.copy, raising=False)
    index, vectors = filled()
    assert index.search(vectors[:1], 1)[1].item() == 1
    assert stub.copies == 0
