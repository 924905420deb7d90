"""boto3 against the mocked Bedrock Runtime: a tool loop both ways, and failures by their names.

Usage: converse.py http://127.0.0.1:PORT. Prints one JSON object; asserts what boto3 itself must see.
"""

import json
import os
import sys

for name in [name for name in os.environ if name.startswith("AWS")]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ORIGIN = sys.argv[1]
MODEL = "us.openai.gpt-5.6-sol"
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "description": "Weather.", "inputSchema": {"json": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}}]}


def client(who="default", token=None, key="AKID", prefix=""):
    return boto3.session.Session().client(
        "bedrock-runtime", region_name="us-east-1",
        endpoint_url=f"{ORIGIN}{prefix}/bedrock-runtime/us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
        aws_access_key_id=f"{key}SAMETURNMOCK{who.upper()}",
        aws_secret_access_key=f"sameturn-mock-secret-of-{who}-not-a-real-key",
        aws_session_token=token)


def streamed(answer):
    blocks, stop = {}, None
    for event in answer["stream"]:
        (kind, value), = event.items()
        place = value.get("contentBlockIndex")
        if kind == "contentBlockStart":
            blocks[place] = {"toolUse": dict(value["start"]["toolUse"], input="")}
        elif kind == "contentBlockDelta":
            delta = value["delta"]
            if "text" in delta:
                blocks.setdefault(place, {"text": ""})["text"] += delta["text"]
            elif "toolUse" in delta:
                blocks[place]["toolUse"]["input"] += delta["toolUse"]["input"]
            elif "redactedContent" in delta["reasoningContent"]:
                blocks[place] = {"reasoningContent": delta["reasoningContent"]}
            else:
                block = blocks.setdefault(place, {"reasoningContent": {"reasoningText": {"text": ""}}})
                block["reasoningContent"]["reasoningText"]["text"] += delta["reasoningContent"]["text"]
        elif kind == "messageStop":
            stop = value["stopReason"]
    content = [blocks[place] for place in sorted(blocks)]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return content, stop


def loop(model, stream):
    asks = client()
    field = {"reasoning_effort": "low"} if "oss" in model else {"reasoning": {"effort": "low"}}
    messages = [{"role": "user", "content": [{"text": "Weather in Dublin?"}]}]
    kinds = []
    for _ in range(4):
        request = dict(modelId=model, messages=messages, toolConfig=TOOLS, additionalModelRequestFields=field)
        if stream:
            content, stop = streamed(asks.converse_stream(**request))
        else:
            answer = asks.converse(**request)
            content, stop = answer["output"]["message"]["content"], answer["stopReason"]
        kinds.append([next(iter(block)) for block in content] + [stop])
        messages.append({"role": "assistant", "content": content})
        if stop != "tool_use":
            break
        messages.append({"role": "user", "content": [
            {"toolResult": {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"json": {"temp_c": 11}}]}}
            for block in content if "toolUse" in block]})
    return kinds


def refused(asks, stream=False, **changes):
    request = dict(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "How are you, all of you?"}]}])
    request.update(changes)
    try:
        if stream:
            list(asks.converse_stream(**request)["stream"])
        else:
            asks.converse(**request)
        return "not noticed"
    except ClientError as error:
        return error.response["Error"]["Code"]
    except Exception as error:
        return type(error).__name__


print(json.dumps({
    "loops": [loop(model, stream) for model in [MODEL, "openai.gpt-oss-120b-1:0"] for stream in [False, True]],
    "denied": refused(client("denied")),
    "denied_stream": refused(client("denied"), stream=True),
    "expired": refused(client("expired", "sameturn-mock-session-token-of-expired", "ASIA")),
    "unknown_key": refused(client("nobody")),
    "bare_id": refused(client(), modelId="openai.gpt-5.6-sol"),
    "effort": refused(client(), additionalModelRequestFields={"reasoningConfig": {"type": "enabled"}}),
    "throttled": refused(client(prefix="/fault/throttled"), stream=True),
    "failed": refused(client(prefix="/fault/response-failed"), stream=True),
    "crc": refused(client(prefix="/fault/converse-message-crc"), stream=True),
    "truncated": refused(client(prefix="/fault/converse-truncated-mid-frame"), stream=True),
}))
