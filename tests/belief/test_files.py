"""Files as people have them: compressed, in other encodings, in arrays, logs and streams."""

import gzip
import io
import json
import math
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmdemand import Extractor, extract_panel, load_study
from llmdemand.belief.extract import extract
from llmdemand.belief.files import answers, read_answers
from llmdemand.belief.readers import read_response
from llmdemand.belief.readers.shapes import FORM, Line, decode
from llmdemand.errors import ResponseError

STUDY = load_study("pampers")
SHAPES = Path(__file__).parent / "shapes"


def shape(name):
    return json.loads((SHAPES / f"{name}.json").read_text("utf-8"))["raw"]


CHAT = shape("openai_chat")
LINES = [json.dumps({"custom_id": f"3-{k}", **CHAT}, ensure_ascii=False) for k in range(3)]
PLAIN = "\n".join(LINES) + "\n"


def rows(path):
    return extract_panel(STUDY, read_answers(path, STUDY)).frame


FILES = {
    "lines.jsonl": PLAIN.encode(),
    "mark.jsonl": PLAIN.encode("utf-8-sig"),
    "wide.jsonl": PLAIN.encode("utf-16"),
    "big-endian.jsonl": "\ufeff".encode("utf-16-be") + PLAIN.encode("utf-16-be"),
    "no-mark.jsonl": PLAIN.encode("utf-16-le"),
    "lines.jsonl.gz": gzip.compress(PLAIN.encode()),
    "lines.jsonl.zst": zstandard.compress(PLAIN.encode()),
    "frames.jsonl.zst": b"".join(zstandard.compress(f"{line}\n".encode()) for line in LINES),
    "wide.jsonl.gz": gzip.compress(PLAIN.encode("utf-16")),
    "array.json": f"[{','.join(LINES)}]".encode(),
    "pretty.json": json.dumps([json.loads(line) for line in LINES], indent=2).encode(),
    "several.json": "\n".join(json.dumps(json.loads(x), indent=1) for x in LINES).encode(),
    "windows.jsonl": PLAIN.replace("\n", "\r\n\r\n").encode(),
    "no-end.jsonl": PLAIN.rstrip().encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_however_it_was_written(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    frame = rows(tmp_path / name)
    assert frame["run_id"].tolist() == ["3-0", "3-1", "3-2"]
    assert frame["belief_huggies"].tolist() == pytest.approx([2 / 3] * 3, abs=1e-5)


def test_the_file_may_name_the_run_of_its_only_response(tmp_path):
    path = tmp_path / "answer-3-1.json"
    path.write_text(json.dumps(CHAT, indent=2))
    assert rows(path)["run_id"].tolist() == ["3-1"]


def chunks(name, changes):
    """A streamed answer: text and log-probabilities of one token per chunk."""
    whole = shape("openai_chat")["choices"][0]
    for k, entry in enumerate(whole["logprobs"]["content"]):
        choice = {"index": 0, "delta": {"content": entry["token"]}, "finish_reason": None}
        if changes == "text":
            choice = {"index": 0, "text": entry["token"], "finish_reason": None}
            listed = {c["token"]: c["logprob"] for c in entry["top_logprobs"]}
            choice["logprobs"] = {
                "tokens": [entry["token"]],
                "token_logprobs": [entry["logprob"]],
                "top_logprobs": [listed],
            }
        else:
            choice["logprobs"] = {"content": [entry], "refusal": None}
        if k == 3:
            choice["finish_reason"] = "stop"
        yield {"id": name, "model": "m-1", "choices": [choice]}
    yield {"id": name, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}


@pytest.mark.parametrize("kind", ["delta", "text"])
def test_server_sent_events_are_put_together(tmp_path, kind):
    path = tmp_path / "3-1.sse"
    events = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks("chatcmpl-1", kind))
    path.write_text(f": ping\n\n{events}data: [DONE]\n\n")
    (row,) = rows(path).to_dict("records")
    assert (row["status"], row["text"], row["prompt_tokens"]) == ("ok", "I pick Huggies", 9)
    assert row["belief_huggies"] == pytest.approx(2 / 3, abs=1e-5)


def test_events_of_the_responses_api_end_with_the_whole(tmp_path):
    path = tmp_path / "3-1.txt"
    events = [
        {"type": "response.output_text.delta", "delta": "I", "logprobs": []},
        {"type": "response.completed", "response": shape("openai_responses")},
    ]
    path.write_text("".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events))
    assert rows(path)["belief_huggies"].tolist() == pytest.approx([2 / 3], abs=1e-5)


def test_ollamas_streamed_lines_are_put_together(tmp_path):
    whole = shape("ollama_chat")
    made = []
    for entry in whole["logprobs"]:
        message = {"role": "assistant", "content": entry["token"]}
        made.append({"model": "gemma3", "message": message, "done": False, "logprobs": [entry]})
    end = {k: v for k, v in whole.items() if k not in ("message", "logprobs")}
    made.append({**end, "message": {"role": "assistant", "content": ""}})
    path = tmp_path / "3-1.ndjson"
    path.write_text("".join(json.dumps(m) + "\n" for m in made))
    (row,) = rows(path).to_dict("records")
    assert (row["status"], row["text"], row["prompt_tokens"]) == ("ok", "I pick Huggies", 9)
    path.write_text("".join(json.dumps(m) + "\n" for m in made[:-1]))
    with pytest.raises(ResponseError, match="ends before its last answer"):
        rows(path)


def inspect_samples():
    output = shape("inspect_output")
    return [
        {"id": "3-0", "epoch": 1, "input": "?", "target": "", "output": output},
        {"id": 4, "epoch": 2, "input": "?", "target": "", "output": output},
        {"id": "5-0", "epoch": 1, "error": {"message": "timeout"}, "output": output},
    ]


def test_logs_of_inspect_ai(tmp_path):
    log = {"version": 2, "status": "success", "eval": {"task": "t"}, "samples": inspect_samples()}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log, indent=2))
    archive = tmp_path / "log.eval"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("header.json", json.dumps({"version": 2}))
        for sample in inspect_samples():
            file.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    for one in (path, archive):
        frame = rows(one)
        assert frame["run_id"].tolist() == ["3-0", "4-1", "5-0"]
        assert frame["status"].tolist() == ["ok", "ok", "failed"]
        assert frame["reason"].tolist() == ["", "", "timeout"]


def test_results_of_edsl(tmp_path):
    def result(iteration, scenario, **raw):
        return {
            "agent": {},
            "scenario": {**scenario, "edsl_class_name": "Scenario"},
            "iteration": iteration,
            "answer": {"q0": "Huggies"},
            "raw_model_response": {f"{k}_raw_model_response": v for k, v in raw.items()},
        }

    made = [result(0, {"run_id": "3-0"}, q0=CHAT), result(1, {"cell": 4}, q0=CHAT)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"data": made, "edsl_class_name": "Results"}))
    frame = rows(path)
    assert frame["run_id"].tolist() == ["3-0", "4-1"] and (frame["status"] == "ok").all()
    path.write_text(json.dumps({"data": [result(0, {"cell": 1}, q0=CHAT, q1=CHAT)]}))
    with pytest.raises(ResponseError, match="holds 2 questions"):
        rows(path)


def test_batches_of_gemini_and_vertex(tmp_path):
    path = tmp_path / "batch.jsonl"
    made = [
        {"key": "pampers-3-0", "response": shape("gemini")},
        {"key": "3-1", "error": {"code": 13, "message": "internal"}},
        {"metadata": {"run_id": "3-2"}, "request": {}, "status": "", "response": shape("gemini")},
    ]
    path.write_text("".join(json.dumps(m) + "\n" for m in made))
    frame = rows(path)
    assert frame["status"].tolist() == ["ok", "failed", "ok"]


def test_ollamas_generate_in_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"run_id": "3-0", **shape("ollama_generate")}) + "\n")
    assert rows(path)["status"].tolist() == ["ok"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.gz", gzip.compress(PLAIN.encode())[:-20]),
        ("garbage.zst", zstandard.compress(PLAIN.encode())[:8] + bytes(30)),
        ("between.zst", zstandard.compress(PLAIN.encode()) + b"(\xb5/\xfd"),
        ("cut.zst", zstandard.compress(PLAIN.encode())[:40]),
        ("cut.zip", b"PK\x03\x04 no archive"),
        ("other.zip", None),
    ],
)
def test_damaged_archives_are_an_error_of_one_sentence(tmp_path, name, data):
    if data is None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as file:
            file.writestr("a.txt", "x")
        data = made.getvalue()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ResponseError):
        rows(tmp_path / name)


def test_python_s_own_json_is_read(tmp_path):
    raw = shape("short_form")
    raw["tokens"][0][1] = math.nan
    raw["tokens"][1][2][0][1] = -math.inf
    assert extract(read_response(json.dumps(raw).encode()), STUDY.menu).status == "ok"
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"run_id": "3-0", "raw": {**raw, "text": "I pick Huggies"}}) + "\n")
    assert rows(path)["status"].tolist() == ["ok"]


def test_candidates_are_read_where_they_are_asked_for_alone():
    damaged = shape("openai_chat")
    damaged["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = [{"logprob": "low"}]
    assert extract(read_response(damaged), STUDY.menu).status == "ok"
    damaged["choices"][0]["logprobs"]["content"][2]["top_logprobs"] = [{"logprob": "low"}]
    assert extract(read_response(damaged), STUDY.menu).status == "invalid_logprobs"


KEYS = st.sampled_from(
    """choices message content logprobs top_logprobs token logprob bytes text tokens output type
    completion_probabilities probs prob tok_str candidates logprobsResult chosenCandidates
    topCandidates parts generated_text details top_tokens meta_info output_token_logprobs
    output_top_logprobs finish_reason usage model error response body status_code raw run_id
    custom_id key samples data thoughts answer done thinking order epoch id scenario iteration
    raw_model_response stop_reason prompt_logprobs token_logprobs metadata""".split()
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["3-0", " H", "Huggies", "\u0120H", "output_text", "\ufffd", "<0xE5>"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)
EXTRACTOR = Extractor(STUDY.menu)


def read_whatever(raw, path=None):
    """Read and extract; only errors of the package's own are allowed."""
    try:
        EXTRACTOR(read_response(raw))
    except ResponseError as error:
        assert "\n" not in str(error).replace("\\n", "")
    if path is not None:
        path.write_bytes(raw)
        try:
            for answer in read_answers(path, STUDY):
                EXTRACTOR(answer.response)
        except ResponseError:
            pass


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_no_json_is_a_traceback(tmp_path_factory, tree):
    read_whatever(tree)
    path = tmp_path_factory.getbasetemp() / "tree.jsonl"
    read_whatever(json.dumps(tree).encode(), path)
    read_whatever(json.dumps({"run_id": "3-0", "raw": tree}).encode(), path)
    read_whatever(json.dumps({"custom_id": "3-0", "response": {"body": tree}}).encode(), path)


def places(value, at=()):
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*at, key))


def changed(value, at, new):
    if not at:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[at[0]] = changed(made[at[0]], at[1:], new)
    return made


REAL = [json.loads(p.read_text("utf-8"))["raw"] for p in sorted(SHAPES.glob("*.json"))]


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_damaged_response_is_a_traceback(tmp_path_factory, data):
    raw = data.draw(st.sampled_from(REAL))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(list(places(raw))))
        raw = changed(raw, at, data.draw(st.one_of(TREES, st.sampled_from(REAL))))
    path = tmp_path_factory.getbasetemp() / "damaged.jsonl"
    if isinstance(raw, dict):
        read_whatever(json.dumps({"run_id": "3-0", **raw}).encode(), path)
    whole = json.dumps(raw).encode()
    cut = data.draw(st.integers(0, len(whole)))
    read_whatever(whole[:cut], path)
    read_whatever(whole[cut:], path)


def outcome(path):
    """What is read, or what is said of it."""
    try:
        return [repr(a) for a in read_answers(path, STUDY)]
    except ResponseError as error:
        return str(error)


WRAPPED = (
    lambda raw: {"custom_id": "3-0", "response": {"status_code": 200, "body": raw}, "error": None},
    lambda raw: {"key": "3-0", "response": raw},
    lambda raw: {"custom_id": "3-0", "response": {"status_code": 429, "body": raw}},
    lambda raw: {"run_id": "3-0", "raw": raw, "response": {"body": raw}},
)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_batch_output_decoded_at_once_is_what_it_is_step_by_step(tmp_path_factory, data):
    raw = data.draw(st.sampled_from(WRAPPED))(data.draw(st.sampled_from(REAL)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.sampled_from(list(places(raw))))
        raw = changed(raw, at, data.draw(st.one_of(TREES, st.sampled_from(REAL))))
    path = tmp_path_factory.getbasetemp() / "batch.jsonl"
    path.write_bytes(json.dumps(raw).encode() + b"\n")
    found = outcome(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "line_of", lambda data: decode(data, Line, FORM))
        assert outcome(path) == found


@pytest.mark.parametrize("wrap", WRAPPED[:2])
def test_the_response_of_a_batch_output_is_decoded_once(tmp_path, monkeypatch, wrap):
    path = tmp_path / "batch.jsonl"
    path.write_text(json.dumps(wrap(CHAT)) + "\n")
    monkeypatch.setattr(answers, "decode", None)
    assert rows(path)["choice"].tolist() == ["huggies"]


def test_a_file_whose_writer_was_killed_is_not_taken_for_a_shorter_one(tmp_path):
    packer = zstandard.ZstdCompressor().compressobj()
    written = []
    for line in LINES:
        packed = packer.compress(f"{line}\n".encode())
        written.append(packed + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    path = tmp_path / "answers.jsonl.zst"
    path.write_bytes(b"".join(written[:2]))
    found = read_answers(path, STUDY)
    assert [next(found).replicate, next(found).replicate] == [0, 1]
    with pytest.raises(ResponseError, match="cannot be read: it ends within a frame"):
        next(found)
    path.write_bytes(b"".join(written) + packer.flush())
    assert len(list(read_answers(path, STUDY))) == 3


def test_an_encrypted_archive_is_an_error_of_one_sentence(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("samples/1.json", "{}")
    data = bytearray(made.getvalue())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path = tmp_path / "log.eval"
    path.write_bytes(bytes(data))
    with pytest.raises(ResponseError, match=r"samples/1.json cannot be opened .*encrypted"):
        list(read_answers(path, STUDY))
