"""A server that is not ours: good ConverseStream and InvokeModelWithResponseStream answers, each with one thing wrong,
or with one thing unusual and legal. The model's name in the path chooses.

It shares nothing with the mocks: the frames and events are written here, by hand, from the documentation of the AWS
event stream and the service model of bedrock-runtime. Usage: corrupting_frames.py. Prints one line of JSON: the port,
and the names by API and kind. Serves until its standard input is closed.
"""

import base64
import copy
import json
import re
import socket
import struct
import sys
import threading
import zlib


def header(name, value, tag=7):
    raw = bytes([len(name)]) + name.encode() + bytes([tag])
    return raw + (struct.pack(">H", len(value)) + value if tag in (6, 7) else value)


class Frame:
    """A message: its headers as bytes, its payload, and what is wrong with how it is written."""

    def __init__(self, kind, payload, message="event"):
        label = ":event-type" if message == "event" else ":exception-type"
        self.headers = {label: kind, ":content-type": "application/json", ":message-type": message}
        self.kind, self.payload = kind, payload
        self.more = b""
        self.change = lambda raw: raw

    def bytes(self):
        payload = self.payload
        if not isinstance(payload, bytes):
            payload = json.dumps(payload, ensure_ascii=False).encode()
        heads = b"".join(header(name, value.encode()) for name, value in self.headers.items()) + self.more
        raw = struct.pack(">II", 16 + len(heads) + len(payload), len(heads))
        raw += struct.pack(">I", zlib.crc32(raw)) + heads + payload
        return self.change(raw + struct.pack(">I", zlib.crc32(raw)))


class Stream:
    def __init__(self, frames):
        self.frames = frames
        self.content_type = "application/vnd.amazon.eventstream"
        self.wire = lambda raw: raw
        self.step = 500
        self.cut = False

    def at(self, kind, nth=0):
        return [place for place, frame in enumerate(self.frames) if frame.kind == kind][nth]

    def get(self, kind, nth=0):
        return self.frames[self.at(kind, nth)].payload

    def drop(self, kind, nth=0):
        del self.frames[self.at(kind, nth)]

    def twice(self, kind, nth=0):
        place = self.at(kind, nth)
        self.frames.insert(place, copy.deepcopy(self.frames[place]))

    def insert(self, place, kind, payload, message="event"):
        self.frames.insert(place, Frame(kind, payload, message))


APIS = {"converse": {"corruptions": {}, "variants": {}}, "invoke": {"corruptions": {}, "variants": {}}}


def row(api, kind, good):
    def add(change):
        def make():
            stream = good()
            change(stream)
            return stream
        APIS[api][kind][change.__name__.replace("_", "-")] = make
        return change
    return add


# ---------------------------------------------------------------- Converse

def delta(index, **what):
    return Frame("contentBlockDelta", {"contentBlockIndex": index, "delta": what})


def stop(index):
    return Frame("contentBlockStop", {"contentBlockIndex": index})


def thought(index):
    return [delta(index, reasoningContent={"text": "Think "}), delta(index, reasoningContent={"text": "first."}),
            delta(index, reasoningContent={"signature": "c2ln"}), stop(index)]


def words(index, pieces=("Dublin: naïve ", "café ☔.")):
    return [delta(index, text=piece) for piece in pieces] + [stop(index)]


def tool(index, key, name, pieces):
    start = {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": key, "name": name}}}
    return [Frame("contentBlockStart", start)] + [delta(index, toolUse={"input": piece}) for piece in pieces] + [stop(index)]


def weather(index=2, pieces=('{"city": "Du', 'blin"}')):
    return tool(index, "tooluse_w", "get_weather", pieces)


def time(index=3, pieces=('{"zone": ', '"Europe/Dublin"}')):
    return tool(index, "tooluse_t", "get_time", pieces)


def converse(*blocks, reason="tool_use"):
    frames = [Frame("messageStart", {"role": "assistant"})]
    frames += [frame for block in blocks for frame in block]
    frames += [Frame("messageStop", {"stopReason": reason}),
               Frame("metadata", {"usage": {"inputTokens": 40, "outputTokens": 30, "totalTokens": 70},
                                  "metrics": {"latencyMs": 321}})]
    return Stream(frames)


def good():
    return converse(thought(0), words(1), weather(), time())


wrong = row("converse", "corruptions", good)
legal = row("converse", "variants", good)
# Places in the good stream.
TEXT_1, TEXT_END, TOOL, ARGS_1, ARGS_2, TOOL_END = 5, 7, 8, 9, 10, 11
END = 16


def flip(raw, at):
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]


def change(stream, place, how):
    stream.frames[place].change = how


@wrong
def message_crc(s): change(s, TEXT_1, lambda raw: flip(raw, len(raw) - 1))
@wrong
def payload_bit(s): change(s, TEXT_1, lambda raw: flip(raw, len(raw) - 8))
@wrong
def prelude_crc(s): change(s, TEXT_1, lambda raw: flip(raw, 9))
@wrong
def cut_in_a_frame(s): s.wire = lambda raw: raw[:-40]
@wrong
def cut_in_a_prelude(s): s.wire = lambda raw: raw + s.frames[0].bytes()[:7]
@wrong
def garbage_at_the_end(s): s.wire = lambda raw: raw + b"\r\n"
@wrong
def length_of_12(s): change(s, TEXT_1, lambda raw: struct.pack(">I", 12) + raw[4:])
@wrong
def headers_longer_than_the_frame(s):
    def how(raw):
        raw = raw[:4] + struct.pack(">I", 60000)
        return raw + struct.pack(">I", zlib.crc32(raw)) + b"{}" * 60
    change(s, TEXT_1, how)
@wrong
def header_of_type_11(s): s.frames[TEXT_1].more = header("x", b"y", 11)
@wrong
def header_cut(s): s.frames[TEXT_1].more = b"\x09x"
@wrong
def no_message_type(s): del s.frames[TEXT_1].headers[":message-type"]
@wrong
def no_event_type(s): del s.frames[TEXT_1].headers[":event-type"]
@wrong
def message_type_info(s): s.frames[TEXT_1].headers[":message-type"] = "info"
@wrong
def payload_cut(s): s.frames[TEXT_1].payload = b'{"contentBlockIndex": 1, "delta": {"te'
@wrong
def payload_is_a_list(s): s.frames[TEXT_1].payload = [s.frames[TEXT_1].payload]
@wrong
def payload_not_utf8(s): s.frames[TEXT_1].payload = b'{"contentBlockIndex": 1, "delta": {"text": "caf\xe9"}}'
@wrong
def content_type_sse(s): s.content_type = "text/event-stream"
@wrong
def no_message_start(s): s.drop("messageStart")
@wrong
def message_start_twice(s): s.twice("messageStart")
@wrong
def message_start_second(s): s.frames.insert(1, s.frames.pop(0))
@wrong
def role_user(s): s.get("messageStart")["role"] = "user"
@wrong
def no_role(s): del s.get("messageStart")["role"]
@wrong
def no_block_stop(s): s.drop("contentBlockStop", 1)
@wrong
def no_tool_block_stop(s): s.drop("contentBlockStop", 2)
@wrong
def block_stop_twice(s): s.twice("contentBlockStop", 1)
@wrong
def stop_of_no_block(s): s.insert(TEXT_END + 1, "contentBlockStop", {"contentBlockIndex": 9})
@wrong
def delta_after_its_stop(s): s.frames.insert(TEXT_END + 1, delta(1, text="more"))
@wrong
def index_used_again(s): s.frames[TOOL:TOOL] = words(1)
@wrong
def no_tool_start(s): s.drop("contentBlockStart")
@wrong
def tool_start_twice(s): s.twice("contentBlockStart")
@wrong
def tool_start_late(s): s.frames.insert(ARGS_1, s.frames.pop(TOOL))
@wrong
def no_tool_use_id(s): del s.get("contentBlockStart")["start"]["toolUse"]["toolUseId"]
@wrong
def tool_use_id_empty(s): s.get("contentBlockStart")["start"]["toolUse"]["toolUseId"] = ""
@wrong
def tool_use_id_with_a_space(s): s.get("contentBlockStart")["start"]["toolUse"]["toolUseId"] = "tool use"
@wrong
def tool_use_id_of_65(s): s.get("contentBlockStart")["start"]["toolUse"]["toolUseId"] = "t" * 65
@wrong
def tool_use_id_twice(s): s.get("contentBlockStart", 1)["start"]["toolUse"]["toolUseId"] = "tooluse_w"
@wrong
def no_tool_name(s): del s.get("contentBlockStart")["start"]["toolUse"]["name"]
@wrong
def tool_name_empty(s): s.get("contentBlockStart")["start"]["toolUse"]["name"] = ""
@wrong
def a_tool_nobody_offered(s): s.get("contentBlockStart")["start"]["toolUse"]["name"] = "get_wether"
@wrong
def input_cut(s): del s.frames[ARGS_2]
@wrong
def input_is_a_list(s): s.frames[ARGS_1].payload["delta"]["toolUse"]["input"] = "["; s.frames[ARGS_2].payload["delta"]["toolUse"]["input"] = "]"
@wrong
def input_twice(s): s.frames[ARGS_2 + 1:ARGS_2 + 1] = copy.deepcopy(s.frames[ARGS_1:ARGS_2 + 1])
@wrong
def input_as_an_object(s): s.frames[ARGS_1].payload["delta"]["toolUse"]["input"] = {"city": "Dublin"}
@wrong
def text_in_a_tool_block(s): s.frames.insert(ARGS_2, delta(2, text="hm"))
@wrong
def input_in_a_text_block(s): s.frames.insert(TEXT_END, delta(1, toolUse={"input": "{}"}))
@wrong
def reasoning_in_a_text_block(s): s.frames.insert(TEXT_END, delta(1, reasoningContent={"text": "hm"}))
@wrong
def text_and_tool_in_one_delta(s): s.frames[TEXT_1].payload["delta"]["toolUse"] = {"input": ""}
@wrong
def delta_empty(s): s.frames[TEXT_1].payload["delta"] = {}
@wrong
def no_delta(s): del s.frames[TEXT_1].payload["delta"]
@wrong
def text_is_a_number(s): s.frames[TEXT_1].payload["delta"]["text"] = 7
@wrong
def no_index(s): del s.frames[TEXT_1].payload["contentBlockIndex"]
@wrong
def index_negative(s): s.frames[TEXT_1].payload["contentBlockIndex"] = -1
@wrong
def index_is_text(s): s.frames[TEXT_1].payload["contentBlockIndex"] = "1"
@wrong
def redacted_and_text(s): s.frames[2].payload["delta"] = {"reasoningContent": {"redactedContent": "AAAA"}}
@wrong
def stop_reason_end_turn_with_calls(s): s.get("messageStop")["stopReason"] = "end_turn"
@wrong
def stop_reason_unknown(s): s.get("messageStop")["stopReason"] = "tool_calls"
@wrong
def no_stop_reason(s): del s.get("messageStop")["stopReason"]
@wrong
def stop_reason_null(s): s.get("messageStop")["stopReason"] = None
@wrong
def tool_use_without_a_call(s): del s.frames[TOOL:END]
@wrong
def no_message_stop(s): s.drop("messageStop")
@wrong
def message_stop_twice(s): s.twice("messageStop")
@wrong
def block_after_message_stop(s): s.frames[END + 1:END + 1] = words(4)
@wrong
def no_metadata(s): s.drop("metadata")
@wrong
def metadata_twice(s): s.twice("metadata")
@wrong
def no_usage(s): del s.get("metadata")["usage"]
@wrong
def total_wrong(s): s.get("metadata")["usage"]["totalTokens"] = 71
@wrong
def no_total(s): del s.get("metadata")["usage"]["totalTokens"]
@wrong
def tokens_negative(s): s.get("metadata")["usage"].update(outputTokens=-30, totalTokens=10)
@wrong
def tokens_as_text(s): s.get("metadata")["usage"]["inputTokens"] = "40"
@wrong
def cache_read_negative(s): s.get("metadata")["usage"]["cacheReadInputTokens"] = -1
@wrong
def no_metrics(s): del s.get("metadata")["metrics"]
@wrong
def latency_negative(s): s.get("metadata")["metrics"]["latencyMs"] = -5
@wrong
def text_after_metadata(s): s.frames.append(delta(5, text="late"))
@wrong
def exception_in_the_middle(s):
    del s.frames[TOOL:]
    s.insert(TOOL, "throttlingException", {"message": "Too many tokens, please wait before trying again."}, "exception")
@wrong
def exception_and_on(s): s.insert(TOOL, "modelStreamErrorException", {"message": "Broken.", "originalStatusCode": 500}, "exception")
@wrong
def exception_unknown(s):
    del s.frames[TOOL:]
    s.insert(TOOL, "somethingNewException", {"message": "Nobody knows."}, "exception")
@wrong
def exception_after_the_end(s): s.insert(len(s.frames), "internalServerException", {"message": "Late."}, "exception")
@wrong
def error_message(s):
    del s.frames[TOOL:]
    frame = Frame("x", b"", "error")
    frame.headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "It broke."}
    s.frames.append(frame)
@wrong
def connection_cut(s): s.cut = True
@wrong
def nothing(s): s.frames = []
@wrong
def only_message_start(s): del s.frames[1:]


@legal
def unchanged(s): pass
@legal
def byte_by_byte(s): s.step = 1
@legal
def in_one_write(s): s.step = 1 << 20
@legal
def no_reasoning(s): s.frames = converse(words(0), weather(1), time(2)).frames
@legal
def no_text(s): s.frames = converse(thought(0), weather(1), time(2)).frames
@legal
def only_text(s): s.frames = converse(words(0), reason="end_turn").frames
@legal
def stop_sequence(s): s.frames = converse(words(0), reason="stop_sequence").frames
@legal
def cut_at_max_tokens(s): s.frames = converse(thought(0), words(1), reason="max_tokens").frames
@legal
def empty_start_of_text(s): s.insert(TEXT_1, "contentBlockStart", {"contentBlockIndex": 1, "start": {}})
@legal
def a_call_without_input(s): s.frames = converse(weather(0), tool(1, "tooluse_n", "now", [])).frames
@legal
def a_call_with_empty_input(s): s.frames = converse(weather(0), tool(1, "tooluse_n", "now", [""])).frames
@legal
def redacted_reasoning(s): s.frames = converse([delta(0, reasoningContent={"redactedContent": "AAAA"}), stop(0)], words(1), weather(), time()).frames
@legal
def reasoning_without_signature(s): del s.frames[3]
@legal
def padding(s):
    for frame in s.frames:
        frame.payload["p"] = "abcdefgh"
@legal
def headers_of_every_type(s):
    for frame in s.frames:
        frame.more = b"".join([header("a", b"", 0), header("b", b"", 1), header("c", b"\x01", 2), header("d", b"\0\1", 3),
                               header("e", b"\0" * 4, 4), header("f", b"\0" * 8, 5), header("g", b"xy", 6),
                               header("h", b"\0" * 8, 8), header("i", b"\0" * 16, 9)])
@legal
def headers_in_another_order(s):
    for frame in s.frames:
        frame.headers = dict(reversed(frame.headers.items()))
@legal
def cache_and_details(s):
    s.get("metadata")["usage"].update(cacheReadInputTokens=12, cacheWriteInputTokens=0,
                                      cacheDetails=[{"inputTokens": 12, "ttl": "5m"}], serverToolUsage={})
    s.get("metadata")["performanceConfig"] = {"latency": "standard"}
    s.get("metadata")["serviceTier"] = {"type": "default"}
@legal
def more_fields_at_the_stop(s): s.get("messageStop")["additionalModelResponseFields"] = {"x": 1}
@legal
def empty_text_delta(s): s.frames.insert(TEXT_1, delta(1, text=""))
@legal
def a_long_delta(s): s.frames.insert(TEXT_1, delta(1, text="ä" * 200000))
@legal
def odd_id(s): s.get("contentBlockStart")["start"]["toolUse"]["toolUseId"] = "a.B:9_-" + "x" * 57
@legal
def input_in_one_delta(s): s.frames = converse(thought(0), words(1), weather(pieces=['{"city": "Dublin"}']), time()).frames


# ---------------------------------------------------------------- InvokeModel

def chunk(choices, **more):
    return dict({"id": "chatcmpl-a1", "object": "chat.completion.chunk", "created": 1790000000,
                 "model": "judge-1", "choices": choices}, **more)


def said(what, finish=None):
    return chunk([{"index": 0, "delta": what, "finish_reason": finish}])


def call(index, arguments, **more):
    fragment = {"index": index, "function": {"arguments": arguments}}
    if more:
        fragment.update(id=more["id"], type="function")
        fragment["function"] = {"name": more["name"], "arguments": arguments}
    return said({"tool_calls": [fragment]})


class Chunks(Stream):
    """Chunks of a chat completion; they become frames when they are sent."""

    def __init__(self):
        super().__init__([])
        self.chunks = [
            said({"role": "assistant", "content": ""}), said({"content": "Dublin: naïve "}), said({"content": "café ☔."}),
            call(0, "", id="call_w", name="get_weather"), call(0, '{"city": "Du'), call(0, 'blin"}'),
            call(1, "", id="call_t", name="get_time"), call(1, '{"zone": "Europe/Dublin"}'), said({}, "tool_calls"),
            chunk([], usage={"prompt_tokens": 40, "completion_tokens": 30, "total_tokens": 70},
                  **{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 40, "outputTokenCount": 30,
                                                          "invocationLatency": 400, "firstByteLatency": 90}})]
        self.after = lambda frames: frames

    @property
    def metrics(self):
        return self.chunks[-1]["amazon-bedrock-invocationMetrics"]

    def framed(self):
        frames = []
        for one in self.chunks:
            raw = one if isinstance(one, bytes) else json.dumps(one, ensure_ascii=False).encode()
            frames.append(Frame("chunk", {"bytes": base64.b64encode(raw).decode(), "p": "abc"}))
        return self.after(frames) or frames


broken = row("invoke", "corruptions", Chunks)
sound = row("invoke", "variants", Chunks)


def frames(stream, how): stream.after = how


@broken
def frame_crc(s): frames(s, lambda f: setattr(f[2], "change", lambda raw: flip(raw, len(raw) - 1)))
@broken
def frame_prelude_crc(s): frames(s, lambda f: setattr(f[2], "change", lambda raw: flip(raw, 8)))
@broken
def frame_cut(s): s.wire = lambda raw: raw[:-9]
@broken
def bytes_missing(s): frames(s, lambda f: f[2].payload.pop("bytes") and None)
@broken
def bytes_not_base64(s): frames(s, lambda f: f[2].payload.update(bytes="not base64!"))
@broken
def bytes_a_number(s): frames(s, lambda f: f[2].payload.update(bytes=7))
@broken
def chunk_not_json(s): s.chunks[1] = b"Dublin"
@broken
def chunk_a_list(s): s.chunks[1] = [s.chunks[1]]
@broken
def frame_not_json(s): frames(s, lambda f: setattr(f[2], "payload", b"{"))
@broken
def done_marker_in_a_frame(s): s.chunks.append(b"[DONE]")
@broken
def declared_as_sse(s): s.content_type = "text/event-stream"
@broken
def no_finish(s): del s.chunks[8]
@broken
def finish_twice(s): s.chunks.insert(8, said({}, "tool_calls"))
@broken
def finish_stop_with_calls(s): s.chunks[8] = said({}, "stop")
@broken
def text_after_finish(s): s.chunks.insert(9, said({"content": "late"}))
@broken
def another_id(s): s.chunks[2]["id"] = "chatcmpl-b2"
@broken
def object_wrong(s): s.chunks[2]["object"] = "chat.completion"
@broken
def no_role_at_all(s): del s.chunks[0]["choices"][0]["delta"]["role"]
@broken
def arguments_cut(s): del s.chunks[5]
@broken
def call_without_id(s): del s.chunks[3]["choices"][0]["delta"]["tool_calls"][0]["id"]
@broken
def call_without_name(s): del s.chunks[3]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"]
@broken
def metrics_differ_from_usage(s): s.metrics["outputTokenCount"] = 31
@broken
def metrics_negative(s): s.metrics["inputTokenCount"] = -1
@broken
def metrics_as_text(s): s.metrics["inputTokenCount"] = "40"
@broken
def metrics_before_the_end(s): s.chunks[2]["amazon-bedrock-invocationMetrics"] = dict(s.metrics)
@broken
def usage_total_wrong(s): s.chunks[-1]["usage"]["total_tokens"] = 7
@broken
def usage_with_the_finish(s):
    s.chunks[8].update(usage=s.chunks[9]["usage"], **{"amazon-bedrock-invocationMetrics": s.metrics})
    del s.chunks[9]
@broken
def chunk_after_metrics(s): s.chunks.append(chunk([]))
@broken
def exception_frame(s): frames(s, lambda f: f[:4] + [Frame("modelStreamErrorException", {"message": "It broke.", "originalStatusCode": 500}, "exception")])
@broken
def exception_and_more_chunks(s): frames(s, lambda f: f[:4] + [Frame("throttlingException", {"message": "Too many tokens"}, "exception")] + f[4:])
@broken
def a_converse_event(s): frames(s, lambda f: f[:2] + [Frame("messageStart", {"role": "assistant"})] + f[2:])
@broken
def empty_stream(s): s.chunks = []


@sound
def as_it_is(s): pass
@sound
def three_bytes_at_a_time(s): s.step = 3
@sound
def metrics_without_usage(s): del s.chunks[-1]["usage"]
@sound
def no_padding(s): frames(s, lambda f: [one.payload.pop("p") for one in f] and None)
@sound
def reasoning_inside_text(s): s.chunks.insert(1, said({"content": "<reasoning>Think first.</reasoning>"}))
@sound
def metrics_with_cache(s): s.metrics.update(cacheReadInputTokenCount=8, cacheWriteInputTokenCount=0)
@sound
def text_only(s):
    del s.chunks[3:8]
    s.chunks[3] = said({}, "stop")
@sound
def role_in_each(s):
    for one in s.chunks[:8]:
        one["choices"][0]["delta"]["role"] = "assistant"


# ---------------------------------------------------------------- HTTP

def serve(connection):
    with connection:
        raw = b""
        while b"\r\n\r\n" not in raw:
            more = connection.recv(65536)
            if not more:
                return
            raw += more
        head, body = raw.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
        while len(body) < length:
            body += connection.recv(65536)
        found = re.match(rb"POST /model/([\w-]+)/(converse|invoke)", head)
        name, api = found.group(1).decode(), APIS[found.group(2).decode()]
        stream = (api["corruptions"].get(name) or api["variants"][name])()
        made = stream.framed() if isinstance(stream, Chunks) else stream.frames
        body = stream.wire(b"".join(frame.bytes() for frame in made))
        send(connection, stream, body)


def send(connection, stream, body):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {stream.content_type}\r\nx-amzn-requestid: 1\r\nconnection: close\r\n"
    connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    if stream.cut:
        body = body[:len(body) // 2]
    for place in range(0, len(body), stream.step):
        piece = body[place:place + stream.step]
        connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    if not stream.cut:
        connection.sendall(b"0\r\n\r\n")


def listen(server):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    names = {api: {kind: list(streams) for kind, streams in kinds.items()} for api, kinds in APIS.items()}
    print(json.dumps(dict(names, port=server.getsockname()[1])), flush=True)
    threading.Thread(target=listen, args=(server,), daemon=True).start()
    sys.stdin.read()
