"""boto3 against the mocked AgentCore Runtime: sessions, both forms of answers, and failures by their names.

Usage: agentcore.py http://127.0.0.1:PORT. Prints one JSON object; asserts what boto3 itself must see.
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
AGENT = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/sameturn_agent-abcdefghij"


def client(who="default", token=None, key="AKID", prefix=""):
    return boto3.session.Session().client(
        "bedrock-agentcore", region_name="us-east-1",
        endpoint_url=f"{ORIGIN}{prefix}/bedrock-agentcore/us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
        aws_access_key_id=f"{key}SAMETURNMOCK{who.upper()}",
        aws_secret_access_key=f"sameturn-mock-secret-of-{who}-not-a-real-key",
        aws_session_token=token)


def invoke(asks, prompt, session, **changes):
    request = dict(agentRuntimeArn=AGENT, runtimeSessionId=session, accept="text/event-stream",
                   payload=json.dumps({"prompt": prompt}).encode())
    request.update(changes)
    answer = asks.invoke_agent_runtime(**request)
    assert answer["runtimeSessionId"] == session, answer
    return answer


def text(answer):
    if "text/event-stream" not in answer["contentType"]:
        return json.loads(answer["response"].read())["response"]
    out = ""
    for line in answer["response"].iter_lines():
        if line.startswith(b"data: "):
            event = json.loads(line[6:]).get("event", {})
            out += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
    return out


def refused(asks, **changes):
    try:
        text(invoke(asks, "ping", "z" * 40, **changes))
        return "not noticed"
    except ClientError as error:
        return error.response["Error"]["Code"]
    except Exception as error:
        return type(error).__name__


script = client(prefix="/script/memory")
print(json.dumps({
    "memory": [text(invoke(script, prompt, "a" * 33)) for prompt in ["one", "two", "three"]],
    "other_session": text(invoke(script, "one", "b" * 256)),
    "other_principal": text(invoke(client(
        "temporary", "sameturn-mock-session-token-of-temporary", "ASIA", "/script/memory"), "one", "a" * 33)),
    "whole": text(invoke(client(), "pong", "c" * 40, accept="application/json")),
    "qualifier": text(invoke(client(), "pong", "d" * 40, qualifier="canary")),
    "denied": refused(client("denied")),
    "expired": refused(client("expired", "sameturn-mock-session-token-of-expired", "ASIA")),
    "unknown_key": refused(client("nobody")),
    "unknown_agent": refused(client(), agentRuntimeArn=AGENT.replace("abcdefghij", "nobodyknow")),
    "unknown_qualifier": refused(client(), qualifier="nowhere"),
    "no_prompt": refused(client(), payload=b"{}"),
    "no_json": refused(client(), payload=b"hello"),
    "throttled": refused(client(prefix="/fault/throttled")),
    "server_error": refused(client(prefix="/fault/server-error")),
    "dropped": refused(client(prefix="/fault/drop-mid-stream")),
}))
