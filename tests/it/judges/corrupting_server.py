"""A server that is not ours: good Responses and Chat Completions streams, each with one thing wrong, or with
one thing unusual and legal. The model's name chooses.

It shares nothing with the mocks: the streams are written here, by hand, and what is wrong with them comes from
the API references. Usage: corrupting_server.py. Prints one line of JSON: the port, and the names by API and kind.
Serves until its standard input is closed.
"""

import copy
import json
import re
import socket
import sys
import threading

TEXT = ["Dublin: ", "naïve café ☔, ", "let me look."]
WEATHER = ['{"city": "Du', 'blin"}']
TIME = ['{"zone": ', '"Europe/Dublin"}']


class Stream:
    """What is sent: events as [name, data], and how."""

    def __init__(self, events):
        self.events = events
        self.content_type = "text/event-stream"
        self.status = "200 OK"
        self.markers = []          # what follows the events
        self.body = None           # instead of events
        self.wire = lambda raw: raw
        self.step = None           # bytes per write
        self.cut = None            # part of the body after which the connection breaks
        self.names = True
        self.length = False        # content-length in place of chunks

    def at(self, kind, nth=0):
        found = [place for place, event in enumerate(self.events) if event[0] == kind]
        return found[nth]

    def get(self, kind, nth=0):
        return self.events[self.at(kind, nth)][1]

    def drop(self, kind, nth=0):
        del self.events[self.at(kind, nth)]

    def move(self, source, target):
        self.events.insert(target, self.events.pop(source))

    def number(self):
        for place, (_, data) in enumerate(self.events):
            data["sequence_number"] = place

    def bytes(self):
        if self.body is not None:
            return self.body
        raw = b""
        for name, data in self.events:
            if isinstance(data, dict):
                data = json.dumps(data, ensure_ascii=False)
            if self.names and name:
                raw += f"event: {name}\n".encode()
            raw += f"data: {data}\n\n".encode()
        for marker in self.markers:
            raw += f"data: {marker}\n\n".encode()
        return self.wire(raw)


# ---------------------------------------------------------------- Responses

USAGE = {"input_tokens": 40, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 30,
         "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 70}


def response(status, output=(), **more):
    return dict({"id": "resp_a1", "object": "response", "created_at": 1790000000, "status": status, "error": None,
                 "incomplete_details": None, "model": "judge-1", "output": list(output), "usage": None}, **more)


def reasoning_item(index, key="rs_1", text=("Think ", "first.")):
    whole = "".join(text)
    part = {"type": "summary_text", "text": whole}
    at = {"item_id": key, "output_index": index, "summary_index": 0}
    done = {"id": key, "type": "reasoning", "summary": [part]}
    events = [["response.output_item.added", {"output_index": index, "item": dict(done, summary=[])}],
              ["response.reasoning_summary_part.added", dict(at, part=dict(part, text=""))]]
    events += [["response.reasoning_summary_text.delta", dict(at, delta=piece)] for piece in text]
    events += [["response.reasoning_summary_text.done", dict(at, text=whole)],
               ["response.reasoning_summary_part.done", dict(at, part=part)],
               ["response.output_item.done", {"output_index": index, "item": done}]]
    return events


def message_item(index, key="msg_1", pieces=TEXT, annotations=()):
    whole = "".join(pieces)
    part = {"type": "output_text", "text": whole, "annotations": list(annotations), "logprobs": []}
    at = {"item_id": key, "output_index": index, "content_index": 0}
    done = {"id": key, "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    events = [["response.output_item.added",
               {"output_index": index, "item": dict(done, status="in_progress", content=[])}],
              ["response.content_part.added", dict(at, part=dict(part, text="", annotations=[]))]]
    events += [["response.output_text.delta", dict(at, delta=piece, logprobs=[])] for piece in pieces]
    events += [["response.output_text.annotation.added", dict(at, annotation_index=place, annotation=one)]
               for place, one in enumerate(annotations)]
    events += [["response.output_text.done", dict(at, text=whole, logprobs=[])],
               ["response.content_part.done", dict(at, part=part)],
               ["response.output_item.done", {"output_index": index, "item": done}]]
    return events


def call_item(index, key, call, name, pieces):
    whole = "".join(pieces)
    at = {"item_id": key, "output_index": index}
    done = {"id": key, "type": "function_call", "status": "completed", "call_id": call, "name": name,
            "arguments": whole}
    events = [["response.output_item.added",
               {"output_index": index, "item": dict(done, status="in_progress", arguments="")}]]
    events += [["response.function_call_arguments.delta", dict(at, delta=piece)] for piece in pieces]
    events += [["response.function_call_arguments.done", dict(at, arguments=whole)],
               ["response.output_item.done", {"output_index": index, "item": done}]]
    return events


def weather(index=2, pieces=WEATHER, call="call_w", name="get_weather", key="fc_1"):
    return call_item(index, key, call, name, pieces)


def time(index=3, pieces=TIME, call="call_t", name="get_time", key="fc_2"):
    return call_item(index, key, call, name, pieces)


def whole(*items, end="completed", usage=USAGE, **more):
    middle = [event for item in items for event in item]
    done = [event[1] for event in middle if event[0] == "response.output_item.done"]
    output = [event["item"] for event in sorted(done, key=lambda event: event["output_index"])]
    events = [["response.created", {"response": response("in_progress")}],
              ["response.in_progress", {"response": response("in_progress")}]]
    events += middle
    events += [[f"response.{end}", {"response": response(end, output, usage=usage, **more)}]]
    # Written and read once, so that no two events share what a change of one would change in both.
    events = json.loads(json.dumps(events))
    stream = Stream([[name, dict({"type": name}, **data)] for name, data in events])
    stream.number()
    return stream


def good():
    return whole(reasoning_item(0), message_item(1), weather(), time())


RESPONSES = {"corruptions": {}, "variants": {}}
CHAT = {"corruptions": {}, "variants": {}}


def wrong(change, base=good, api=RESPONSES, kind="corruptions"):
    """Registers a change of a good stream under the function's name."""
    def made():
        stream = base()
        other = change(stream)
        return other if isinstance(other, Stream) else stream
    api[kind][change.__name__.strip("_").replace("_", "-")] = made
    return change


def legal(change):
    return wrong(change, kind="variants")


def renumbered(change):
    """Registers a change of the events' order or number; sequence numbers stay sound."""
    def then_number(stream):
        other = change(stream) or stream
        other.number()
        return other
    then_number.__name__ = change.__name__
    return wrong(then_number)


@wrong
def content_type_json(s): s.content_type = "application/json"
@renumbered
def no_created(s): s.drop("response.created")
@renumbered
def created_twice(s): s.events.insert(1, copy.deepcopy(s.events[0]))
@renumbered
def created_second(s): s.move(0, 1)
@renumbered
def in_progress_twice(s): s.events.insert(1, copy.deepcopy(s.events[1]))
@renumbered
def in_progress_late(s): s.move(1, 5)
@renumbered
def no_terminal(s): s.drop("response.completed")
@renumbered
def completed_twice(s): s.events.append(copy.deepcopy(s.events[-1]))
@renumbered
def completed_then_failed(s):
    failed = response("failed", error={"code": "server_error", "message": "no"})
    s.events.append(["response.failed", {"type": "response.failed", "response": failed}])
@renumbered
def delta_after_terminal(s): s.events.append(copy.deepcopy(s.events[s.at("response.output_text.delta")]))
def error_event():
    return ["error", {"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "no",
                                                 "param": None}}]
@renumbered
def error_and_nothing_else(s): s.events[-1] = error_event()
@renumbered
def error_then_completed(s): s.events.insert(len(s.events) - 1, error_event())
@wrong
def done_marker_twice(s): s.markers = ["[DONE]", "[DONE]"]
@wrong
def done_marker_before_terminal(s): s.events.insert(len(s.events) - 1, ["", "[DONE]"])
@wrong
def event_name_of_another(s): s.events[s.at("response.output_text.delta")][0] = "response.output_text.done"
@wrong
def event_names_missing(s): s.names = False
@wrong
def sequence_gap(s):
    for _, data in s.events[9:]:
        data["sequence_number"] += 1
@wrong
def sequence_repeats(s): s.events[9][1]["sequence_number"] = s.events[8][1]["sequence_number"]
@wrong
def sequence_goes_back(s): s.events[9][1]["sequence_number"] = 3
@wrong
def sequence_missing_once(s): del s.events[9][1]["sequence_number"]
@wrong
def sequence_as_text(s):
    for _, data in s.events:
        data["sequence_number"] = str(data["sequence_number"])
@wrong
def sequence_from_5(s):
    for _, data in s.events:
        data["sequence_number"] += 5
@wrong
def response_id_changes(s): s.events[-1][1]["response"]["id"] = "resp_b2"
@wrong
def response_id_empty(s):
    for _, data in s.events:
        if "response" in data:
            data["response"]["id"] = ""
@wrong
def model_changes(s): s.events[-1][1]["response"]["model"] = "judge-2"
@wrong
def created_at_changes(s): s.events[-1][1]["response"]["created_at"] += 1
@wrong
def created_says_completed(s): s.events[0][1]["response"]["status"] = "completed"
@wrong
def completed_says_in_progress(s): s.events[-1][1]["response"]["status"] = "in_progress"
@wrong
def event_type_unknown(s): s.events[9] = ["response.thinking", dict(s.events[9][1], type="response.thinking")]
@wrong
def event_without_type(s): del s.events[9][1]["type"]
@renumbered
def item_not_announced(s): s.drop("response.output_item.added", 1)
@renumbered
def item_announced_twice(s): s.events.insert(s.at("response.output_item.added", 2), copy.deepcopy(
    s.events[s.at("response.output_item.added", 2)]))
@wrong
def output_index_skips(s): return whole(reasoning_item(0), message_item(1), weather(2), time(5))
@wrong
def output_index_from_1(s): return whole(reasoning_item(1), message_item(2), weather(3), time(4))
@wrong
def output_index_used_again(s): return whole(reasoning_item(0), message_item(1), weather(2), time(2))
@wrong
def item_id_empty(s): return whole(reasoning_item(0), message_item(1, key=""), weather(), time())
@wrong
def item_id_twice(s): return whole(reasoning_item(0), message_item(1), weather(key="fc"), time(key="fc"))
@wrong
def item_id_of_a_delta_differs(s): s.get("response.output_text.delta", 1)["item_id"] = "msg_9"
@wrong
def item_id_when_done_differs(s):
    s.get("response.output_item.done", 2)["item"]["id"] = "fc_9"
    s.events[-1][1]["response"]["output"][2]["id"] = "fc_9"
@wrong
def role_changes(s):
    s.get("response.output_item.done", 1)["item"]["role"] = "user"
    s.events[-1][1]["response"]["output"][1]["role"] = "user"
@wrong
def call_id_changes(s):
    s.get("response.output_item.done", 2)["item"]["call_id"] = "call_x"
    s.events[-1][1]["response"]["output"][2]["call_id"] = "call_x"
@wrong
def call_id_differs_at_the_end(s): s.events[-1][1]["response"]["output"][2]["call_id"] = "call_x"
@wrong
def name_changes(s):
    s.get("response.output_item.done", 2)["item"]["name"] = "get_time"
    s.events[-1][1]["response"]["output"][2]["name"] = "get_time"
@renumbered
def item_never_done(s): s.drop("response.output_item.done", 2)
@renumbered
def item_done_twice(s): s.events.insert(s.at("response.output_item.done", 2), copy.deepcopy(
    s.events[s.at("response.output_item.done", 2)]))
@renumbered
def delta_after_item_done(s): s.move(s.at("response.function_call_arguments.delta", 1),
                                     s.at("response.output_item.done", 2))
@wrong
def done_item_in_progress(s):
    s.get("response.output_item.done", 1)["item"]["status"] = "in_progress"
    s.events[-1][1]["response"]["output"][1]["status"] = "in_progress"
@renumbered
def part_not_announced(s): s.drop("response.content_part.added")
@wrong
def part_index_from_1(s):
    for _, data in s.events:
        if "content_index" in data:
            data["content_index"] = 1
@renumbered
def text_delta_lost(s): s.drop("response.output_text.delta", 1)
@renumbered
def text_delta_doubled(s): s.events.insert(s.at("response.output_text.delta", 1), copy.deepcopy(
    s.events[s.at("response.output_text.delta", 1)]))
@renumbered
def text_deltas_swapped(s): s.move(s.at("response.output_text.delta", 1), s.at("response.output_text.delta", 0))
@wrong
def text_done_differs(s): s.get("response.output_text.done")["text"] += "!"
@wrong
def text_of_part_differs(s): s.get("response.content_part.done")["part"]["text"] += "!"
@wrong
def text_of_item_differs(s): s.get("response.output_item.done", 1)["item"]["content"][0]["text"] += "!"
@wrong
def text_at_the_end_differs(s): s.events[-1][1]["response"]["output"][1]["content"][0]["text"] += "!"
@renumbered
def part_never_done(s): s.drop("response.content_part.done")
@renumbered
def text_never_done(s): s.drop("response.output_text.done")
@renumbered
def part_done_before_text_done(s): s.move(s.at("response.content_part.done"), s.at("response.output_text.done"))
@renumbered
def item_done_before_part_done(s): s.move(s.at("response.output_item.done", 1), s.at("response.content_part.done"))
CITED = {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://example.com/", "title": "x"}
@wrong
def annotation_lost(s):
    s = whole(reasoning_item(0), message_item(1, annotations=[CITED]), weather(), time())
    s.get("response.content_part.done")["part"]["annotations"] = []
    s.get("response.output_item.done", 1)["item"]["content"][0]["annotations"] = []
    s.events[-1][1]["response"]["output"][1]["content"][0]["annotations"] = []
    return s
@renumbered
def summary_delta_lost(s): s.drop("response.reasoning_summary_text.delta", 1)
@wrong
def summary_done_differs(s): s.get("response.reasoning_summary_text.done")["text"] = "Other."
@wrong
def summary_of_item_differs(s):
    s.get("response.output_item.done", 0)["item"]["summary"][0]["text"] = "Other."
    s.events[-1][1]["response"]["output"][0]["summary"][0]["text"] = "Other."
@renumbered
def summary_part_not_announced(s): s.drop("response.reasoning_summary_part.added")
@renumbered
def arguments_delta_lost(s): s.drop("response.function_call_arguments.delta", 1)
@wrong
def arguments_done_differs(s): s.get("response.function_call_arguments.done")["arguments"] = '{"city": "Cork"}'
@wrong
def arguments_of_item_differ(s):
    s.get("response.output_item.done", 2)["item"]["arguments"] = '{"city": "Cork"}'
    s.events[-1][1]["response"]["output"][2]["arguments"] = '{"city": "Cork"}'
@wrong
def arguments_at_the_end_differ(s): s.events[-1][1]["response"]["output"][2]["arguments"] = '{"city": "Cork"}'
@renumbered
def arguments_never_done(s): s.drop("response.function_call_arguments.done")
@wrong
def arguments_are_no_json(s): return whole(reasoning_item(0), message_item(1), weather(pieces=['{"city": "Du']), time())
@wrong
def arguments_are_a_list(s): return whole(reasoning_item(0), message_item(1), weather(pieces=['["Dublin"]']), time())
@wrong
def arguments_are_encoded_twice(s):
    return whole(reasoning_item(0), message_item(1), weather(pieces=[json.dumps('{"city": "Dublin"}')]), time())
@wrong
def arguments_are_an_object_on_the_wire(s):
    s.get("response.output_item.done", 2)["item"]["arguments"] = {"city": "Dublin"}
    s.events[-1][1]["response"]["output"][2]["arguments"] = {"city": "Dublin"}
@wrong
def arguments_with_a_key_twice(s):
    return whole(reasoning_item(0), message_item(1), weather(pieces=['{"city": "Cork", ', '"city": "Dublin"}']), time())
@wrong
def arguments_with_nan(s): return whole(reasoning_item(0), message_item(1), weather(pieces=['{"city": NaN}']), time())
@wrong
def arguments_break_the_strict_schema(s):
    return whole(reasoning_item(0), message_item(1), weather(pieces=['{"town": "Dublin"}']), time())
@wrong
def arguments_announced_already(s): s.get("response.output_item.added", 2)["item"]["arguments"] = '{"city'
@wrong
def call_id_empty(s): return whole(reasoning_item(0), message_item(1), weather(call=""), time())
@wrong
def call_id_missing(s):
    for event in s.events:
        for item in [event[1].get("item", {})] + event[1].get("response", {}).get("output", []):
            if item.get("id") == "fc_1":
                del item["call_id"]
@wrong
def call_id_twice(s): return whole(reasoning_item(0), message_item(1), weather(call="c"), time(call="c"))
@wrong
def name_empty(s): return whole(reasoning_item(0), message_item(1), weather(name=""), time())
@wrong
def name_undeclared(s): return whole(reasoning_item(0), message_item(1), weather(name="get_whether"), time())
@wrong
def final_output_lacks_an_item(s): del s.events[-1][1]["response"]["output"][2]
@wrong
def final_output_empty(s): s.events[-1][1]["response"]["output"] = []
@wrong
def final_output_in_another_order(s): s.events[-1][1]["response"]["output"].reverse()
@wrong
def final_output_has_more(s): s.events[-1][1]["response"]["output"].append(
    dict(s.events[-1][1]["response"]["output"][3], id="fc_3", call_id="call_3"))
@wrong
def final_output_null(s): s.events[-1][1]["response"]["output"] = None
@wrong
def completed_with_error(s): s.events[-1][1]["response"]["error"] = {"code": "server_error", "message": "no"}
@wrong
def completed_with_incomplete_details(s):
    s.events[-1][1]["response"]["incomplete_details"] = {"reason": "max_output_tokens"}
@wrong
def object_of_another_api(s): s.events[-1][1]["response"]["object"] = "chat.completion"
@wrong
def usage_missing(s): del s.events[-1][1]["response"]["usage"]
@wrong
def usage_null(s): s.events[-1][1]["response"]["usage"] = None
@wrong
def usage_total_wrong(s): s.events[-1][1]["response"]["usage"]["total_tokens"] = 71
@wrong
def usage_negative(s): s.events[-1][1]["response"]["usage"].update(input_tokens=-40, total_tokens=-10)
@wrong
def usage_as_text(s): s.events[-1][1]["response"]["usage"]["input_tokens"] = "40"
@wrong
def usage_all_zero(s): s.events[-1][1]["response"]["usage"] = {
    "input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
@wrong
def usage_cached_above_input(s): s.events[-1][1]["response"]["usage"]["input_tokens_details"]["cached_tokens"] = 41
@wrong
def usage_reasoning_above_output(s):
    s.events[-1][1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] = 31
@wrong
def incomplete_without_reason(s): return whole(reasoning_item(0), message_item(1), end="incomplete")
@wrong
def failed_without_error(s): return whole(reasoning_item(0), message_item(1), end="failed")
@wrong
def connection_cut(s): s.cut = 0.6
@wrong
def last_event_without_blank_line(s): s.wire = lambda raw: raw[:-1]
@wrong
def bytes_that_are_no_utf8(s): s.wire = lambda raw: raw.replace("ï".encode(), b"\xef", 1)
@wrong
def replacement_characters(s):
    # What a gateway makes of a character that it cut in two: in the deltas, not in the final text.
    delta = s.get("response.output_text.delta", 1)
    delta["delta"] = delta["delta"].replace("ï", "\ufffd\ufffd")
@wrong
def data_is_no_json(s): s.events[9][1] = '{"type": "response.output_text.delta", "delta": '
@wrong
def data_is_a_list(s): s.events[9][1] = "[" + json.dumps(s.events[9][1]) + "]"
@wrong
def error_object_with_200(s):
    s.body, s.content_type = b'{"error": {"message": "no", "type": "server_error", "code": null}}', "application/json"
@wrong
def nothing_with_200(s): s.body = b""
@wrong
def stream_with_500(s): s.status = "500 Internal Server Error"

@legal
def plain(s): pass
@legal
def crlf(s): s.wire = lambda raw: raw.replace(b"\n", b"\r\n")
@legal
def cr(s): s.wire = lambda raw: raw.replace(b"\n", b"\r")
@legal
def comments(s): s.wire = lambda raw: b": hello\n\n" + raw.replace(b"\n\n", b"\n\n: ping\n\n")
@legal
def byte_order_mark(s): s.wire = lambda raw: b"\xef\xbb\xbf" + raw
@legal
def data_in_many_lines(s):
    s.events = [[name, json.dumps(data, indent=1, ensure_ascii=False).replace("\n", "\ndata: ")]
                for name, data in s.events]
@legal
def no_space_after_colon(s): s.wire = lambda raw: re.sub(rb"(?m)^(event|data): ", rb"\1:", raw)
@legal
def seven_bytes_at_a_time(s): s.step = 7
@legal
def all_at_once(s): s.step = 1 << 20
@legal
def with_content_length(s): s.length = True
@legal
def done_marker(s): s.markers = ["[DONE]"]
@legal
def retry_and_ids(s): s.wire = lambda raw: b"retry: 1000\n\n" + raw.replace(b"event: ", b"id: 1\nevent: ")
@legal
def content_type_with_charset(s): s.content_type = "Text/Event-Stream; Charset=UTF-8"
@legal
def vendor_event(s):
    s.events.insert(5, ["acme:progress", {"type": "acme:progress", "percent": 10}])
    s.number()
@legal
def obfuscation(s):
    for name, data in s.events:
        if name.endswith(".delta"):
            data["obfuscation"] = "aXbY12"
@legal
def queued(s):
    s.events.insert(1, ["response.queued", {"type": "response.queued", "response": response("queued")}])
    s.number()
@legal
def no_in_progress(s):
    s.drop("response.in_progress")
    s.number()
@legal
def more_fields(s):
    for _, data in s.events:
        data["x_trace"] = "1"
        if "response" in data:
            data["response"].update(x_region="eu", user=None, background=False, truncation="disabled")
@legal
def items_interleaved(s):
    a, b = weather(), time()
    return whole(reasoning_item(0), message_item(1), [a[0], b[0], a[1], b[1], b[2], a[2], a[3], b[3], a[4], b[4]])
@legal
def no_reasoning(s): return whole(message_item(0), weather(1), time(2), usage=dict(
    USAGE, output_tokens_details={"reasoning_tokens": 0}))
@legal
def calls_before_text(s): return whole(reasoning_item(0), weather(1), time(2), message_item(3))
@legal
def two_messages(s): return whole(reasoning_item(0), message_item(1), message_item(2, key="msg_2", pieces=["And ", "so on."]),
                                  weather(3), time(4))
@legal
def annotation(s): return whole(reasoning_item(0), message_item(1, annotations=[CITED]), weather(), time())
@legal
def arguments_in_one_delta(s): return whole(reasoning_item(0), message_item(1), weather(pieces=["".join(WEATHER)]), time())
@legal
def a_long_delta(s): return whole(reasoning_item(0), message_item(1, pieces=["ä" * 200000]), weather(), time())
@legal
def usage_without_details(s): return whole(reasoning_item(0), message_item(1), weather(), time(), usage={
    "input_tokens": 40, "output_tokens": 30, "total_tokens": 70})
@legal
def completed_at(s): s.events[-1][1]["response"]["completed_at"] = 1790000002
@legal
def sealed_reasoning_differs_everywhere(s):
    # Providers seal again for each event; only its presence is meant.
    s.get("response.output_item.added", 0)["item"]["encrypted_content"] = "a"
    s.get("response.output_item.done", 0)["item"]["encrypted_content"] = "bb"
    s.events[-1][1]["response"]["output"][0]["encrypted_content"] = "ccc"
@legal
def arguments_done_with_name(s):
    s.get("response.function_call_arguments.done", 0)["name"] = "get_weather"
    s.get("response.function_call_arguments.done", 1)["name"] = "get_time"


# ---------------------------------------------------------------- Chat Completions

def chunk(choices, **more):
    return ["", dict({"id": "chatcmpl-a1", "object": "chat.completion.chunk", "created": 1790000000,
                      "model": "judge-1", "choices": choices}, **more)]


def said(delta, finish=None, index=0):
    return chunk([{"index": index, "delta": delta, "finish_reason": finish}])


def call(index, arguments, **more):
    fragment = {"index": index, "function": {"arguments": arguments}}
    if more:
        fragment.update(id=more["id"], type="function")
        fragment["function"] = {"name": more["name"], "arguments": arguments}
    return said({"tool_calls": [fragment]})


def chat():
    stream = Stream(json.loads(json.dumps(
        [said({"role": "assistant", "content": ""})] + [said({"content": piece}) for piece in TEXT]
        + [call(0, "", id="call_w", name="get_weather")] + [call(0, piece) for piece in WEATHER]
        + [call(1, "", id="call_t", name="get_time")] + [call(1, piece) for piece in TIME]
        + [said({}, "tool_calls"), chunk([], usage={
            "prompt_tokens": 40, "completion_tokens": 30, "total_tokens": 70,
            "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 5}})])))
    stream.markers = ["[DONE]"]
    return stream


# Places in it.
FIRST, TALK, CALL_0, REST_0, LAST_0, CALL_1, REST_1, FINISH, COUNT = 0, 1, 4, 5, 6, 7, 8, 10, 11


def chat_wrong(change): return wrong(change, chat, CHAT)
def chat_legal(change): return wrong(change, chat, CHAT, "variants")
def fragment(s, place): return s.events[place][1]["choices"][0]["delta"]["tool_calls"][0]


@chat_wrong
def content_type_json(s): s.content_type = "application/json"
@chat_wrong
def id_changes(s): s.events[5][1]["id"] = "chatcmpl-b2"
@chat_wrong
def id_empty(s):
    for _, data in s.events:
        data["id"] = ""
@chat_wrong
def model_changes(s): s.events[5][1]["model"] = "judge-2"
@chat_wrong
def object_of_plain_answers(s):
    for _, data in s.events:
        data["object"] = "chat.completion"
@chat_wrong
def no_role(s): del s.events[FIRST][1]["choices"][0]["delta"]["role"]
@chat_wrong
def role_changes(s): s.events[2][1]["choices"][0]["delta"]["role"] = "user"
@chat_wrong
def no_finish_reason(s): del s.events[FINISH]
@chat_wrong
def finish_reason_twice(s): s.events.insert(FINISH, copy.deepcopy(s.events[FINISH]))
@chat_wrong
def finish_reason_unknown(s): s.events[FINISH][1]["choices"][0]["finish_reason"] = "done"
@chat_wrong
def finish_reason_stop_with_calls(s): s.events[FINISH][1]["choices"][0]["finish_reason"] = "stop"
@chat_wrong
def finish_reason_calls_without_calls(s): del s.events[CALL_0:FINISH]
@chat_wrong
def content_after_finish(s): s.events.insert(FINISH + 1, said({"content": "more"}))
@chat_wrong
def call_without_index(s): del fragment(s, CALL_0)["index"]
@chat_wrong
def call_index_skips(s):
    for place in range(CALL_1, FINISH):
        fragment(s, place)["index"] = 3
@chat_wrong
def call_index_used_again(s):
    for place in range(CALL_1, FINISH):
        fragment(s, place)["index"] = 0
@chat_wrong
def call_without_id(s): del fragment(s, CALL_0)["id"]
@chat_wrong
def call_id_empty(s): fragment(s, CALL_0)["id"] = ""
@chat_wrong
def call_id_twice(s): fragment(s, CALL_1)["id"] = "call_w"
@chat_wrong
def call_without_type(s): del fragment(s, CALL_0)["type"]
@chat_wrong
def call_without_name(s): del fragment(s, CALL_0)["function"]["name"]
@chat_wrong
def call_name_repeated(s): fragment(s, REST_0)["function"]["name"] = "get_weather"
@chat_wrong
def call_name_undeclared(s): fragment(s, CALL_0)["function"]["name"] = "get_whether"
@chat_wrong
def arguments_fragment_lost(s): del s.events[LAST_0]
@chat_wrong
def arguments_are_a_list(s):
    fragment(s, REST_0)["function"]["arguments"] = "["
    fragment(s, LAST_0)["function"]["arguments"] = "1]"
@chat_wrong
def arguments_break_the_strict_schema(s): fragment(s, REST_0)["function"]["arguments"] = '{"town": "Du'
@chat_wrong
def arguments_with_a_key_twice(s): fragment(s, REST_0)["function"]["arguments"] = '{"city": "Cork", "city": "Du'
@chat_wrong
def arguments_as_an_object(s): fragment(s, REST_0)["function"]["arguments"] = {"city": "Dublin"}
@chat_wrong
def usage_missing(s): del s.events[COUNT]
@chat_wrong
def usage_twice(s): s.events.insert(COUNT, copy.deepcopy(s.events[COUNT]))
@chat_wrong
def usage_total_wrong(s): s.events[COUNT][1]["usage"]["total_tokens"] = 71
@chat_wrong
def usage_negative(s): s.events[COUNT][1]["usage"].update(prompt_tokens=-1, total_tokens=29)
@chat_wrong
def usage_all_zero(s): s.events[COUNT][1]["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
@chat_wrong
def usage_cached_above_prompt(s): s.events[COUNT][1]["usage"]["prompt_tokens_details"]["cached_tokens"] = 41
@chat_wrong
def usage_reasoning_above_completion(s):
    s.events[COUNT][1]["usage"]["completion_tokens_details"]["reasoning_tokens"] = 31
@chat_wrong
def no_done_marker(s): s.markers = []
@chat_wrong
def done_marker_twice(s): s.markers = ["[DONE]", "[DONE]"]
@chat_wrong
def chunk_after_done_marker(s): s.events.insert(FINISH, ["", "[DONE]"])
@chat_wrong
def data_is_no_json(s): s.events[2][1] = '{"id": '
@chat_wrong
def connection_cut(s): s.cut = 0.6
@chat_wrong
def error_then_done_marker(s): s.events[FINISH:] = [["", {"error": {"message": "no", "type": "server_error"}}]]
@chat_wrong
def no_choices(s): del s.events[2][1]["choices"]
@chat_wrong
def choice_without_delta(s): del s.events[2][1]["choices"][0]["delta"]
@chat_wrong
def choice_that_was_not_asked_for(s): s.events.insert(3, said({"role": "assistant", "content": "x"}, "stop", 1))
@chat_wrong
def content_is_a_number(s): s.events[2][1]["choices"][0]["delta"]["content"] = 7
@chat_wrong
def reasoning_inside_content(s): s.events[1][1]["choices"][0]["delta"]["content"] = "<think>hm</think>Dublin"
@chat_wrong
def bytes_that_are_no_utf8(s): s.wire = lambda raw: raw.replace("ï".encode(), b"\xef", 1)
@chat_wrong
def nothing_with_200(s): s.body = b""
@chat_wrong
def error_object_with_200(s):
    s.body, s.content_type = b'{"error": {"message": "no", "type": "server_error", "code": null}}', "application/json"
@chat_wrong
def stream_with_500(s): s.status = "500 Internal Server Error"


@chat_legal
def plain(s): pass
@chat_legal
def crlf(s): s.wire = lambda raw: raw.replace(b"\n", b"\r\n")
@chat_legal
def comments(s): s.wire = lambda raw: b": hello\n\n" + raw.replace(b"\n\n", b"\n\n: ping\n\n")
@chat_legal
def no_space_after_colon(s): s.wire = lambda raw: raw.replace(b"data: ", b"data:")
@chat_legal
def three_bytes_at_a_time(s): s.step = 3
@chat_legal
def data_in_many_lines(s):
    s.events = [[name, json.dumps(data, indent=1, ensure_ascii=False).replace("\n", "\ndata: ")]
                for name, data in s.events]
@chat_legal
def content_null_at_first(s): s.events[FIRST][1]["choices"][0]["delta"].update(content=None, refusal=None)
@chat_legal
def role_in_every_delta(s):
    for _, data in s.events[:FINISH]:
        data["choices"][0]["delta"]["role"] = "assistant"
@chat_legal
def usage_null_elsewhere(s):
    for _, data in s.events[:COUNT]:
        data["usage"] = None
@chat_legal
def calls_interleaved(s): s.events[LAST_0], s.events[CALL_1] = s.events[CALL_1], s.events[LAST_0]
@chat_legal
def arguments_from_the_first_fragment(s):
    fragment(s, CALL_0)["function"]["arguments"] = fragment(s, REST_0)["function"]["arguments"]
    del s.events[REST_0]
@chat_legal
def more_fields(s):
    for _, data in s.events:
        data.update(system_fingerprint="fp_1", service_tier="default", obfuscation="aX")
        for choice in data["choices"]:
            choice["logprobs"] = None
@chat_legal
def reasoning_content(s): s.events.insert(1, said({"reasoning_content": "Think first."}))
@chat_legal
def two_calls_in_one_chunk(s):
    both = [fragment(s, CALL_0), fragment(s, CALL_1)]
    s.events[CALL_0][1]["choices"][0]["delta"]["tool_calls"] = both
    del s.events[CALL_1]


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
        model = json.loads(body)["model"]
        api = CHAT if b"/chat/completions" in head.split(b"\r\n")[0] else RESPONSES
        stream = (api["corruptions"].get(model) or api["variants"][model])()
        send(connection, stream)


def send(connection, stream):
    body = stream.bytes()
    step = stream.step or 400
    head = f"HTTP/1.1 {stream.status}\r\ncontent-type: {stream.content_type}\r\nconnection: close\r\n"
    pieces = [body[place:place + step] for place in range(0, len(body), step)]
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if stream.length:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
    else:
        connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    if stream.cut:
        pieces = pieces[:int(len(pieces) * stream.cut)]
    for piece in pieces:
        connection.sendall(piece if stream.length else b"%x\r\n%s\r\n" % (len(piece), piece))
    if not stream.length and not stream.cut:
        connection.sendall(b"0\r\n\r\n")


def listen(server):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    names = {api: {kind: list(streams) for kind, streams in streams.items()}
             for api, streams in [("responses", RESPONSES), ("chat", CHAT)]}
    print(json.dumps(dict(names, port=server.getsockname()[1])), flush=True)
    threading.Thread(target=listen, args=(server,), daemon=True).start()
    sys.stdin.read()
