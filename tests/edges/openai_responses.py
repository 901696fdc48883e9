"""What a service does with OpenAI's own library for Python and its Responses. Run: openai_responses.py ADDRESS"""

import sys

import openai

client = openai.OpenAI(base_url=f"{sys.argv[1]}/openai/v1", api_key="none")
responses = client.responses


def raises(kind, code, call):
    try:
        call()
    except kind as error:
        assert error.code == code, error
        return
    raise AssertionError(f"no {kind.__name__}")


def create(text, **also):
    return responses.create(model="echo", input=text, **also)


whole = create("!think=hm !tool=calculator hello there")
assert (whole.status, whole.output_text) == ("completed", "hello there"), whole
assert {it.type for it in whole.output} == {"reasoning", "mcp_call", "message"}
assert responses.retrieve(whole.id).output == whole.output
assert responses.input_items.list(whole.id).data[0].content[0].text.endswith("hello there")
print("ok whole")

with responses.stream(model="echo", input="!think=hm !tool=calculator !delay=10ms one two three") as stream:
    numbers = [event.sequence_number for event in stream]
    final = stream.get_final_response()
assert final.output_text == "one two three" and numbers == sorted(numbers)
print("ok stream")

events = []
for event in create("!delay=10ms !repeat=40 tick", stream=True, background=True):
    events.append(event)
    if sum(it.type == "response.output_text.delta" for it in events) == 3:
        break
had = "".join(it.delta for it in events if it.type == "response.output_text.delta")
rest = list(responses.retrieve(events[0].response.id, stream=True, starting_after=events[-1].sequence_number))
had += "".join(it.delta for it in rest if it.type == "response.output_text.delta")
assert rest[-1].type == "response.completed" and rest[-1].response.output_text == had
with responses.stream(response_id=events[0].response.id) as stream:
    assert stream.get_final_response().output_text == had
print("ok cut and resume")

queued = create("!hang x", background=True)
assert responses.cancel(queued.id).status == "cancelled"
print("ok cancel")

for approve in [True, False]:
    asked = create("!ask=bash then")
    request = next(it for it in asked.output if it.type == "mcp_approval_request")
    answer = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": approve}
    done = create([answer], previous_response_id=asked.id)
    assert done.status == "completed" and "then" in done.output_text, done
print("ok approval")

weather = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
with responses.stream(model="echo", input='!call=weather {"city": "Ghent"} so', tools=[weather]) as stream:
    told = "".join(it.delta for it in stream if it.type == "response.function_call_arguments.delta")
    asked = stream.get_final_response()
call = next(it for it in asked.output if it.type == "function_call")
assert (call.name, call.arguments, told) == ("weather", '{"city": "Ghent"}', '{"city": "Ghent"}'), asked
result = {"type": "function_call_output", "call_id": call.call_id, "output": "7"}
final = create([result], tools=[weather], previous_response_id=asked.id)
assert final.output_text == "[weather: 7] so", final
# The same by the history alone.
asked = create("!call=weather so", tools=[weather])
call = next(it for it in asked.output if it.type == "function_call")
result["call_id"] = call.call_id
with responses.stream(model="echo", input=[{"role": "user", "content": "x"}, call, result], tools=[weather]) as stream:
    assert stream.get_final_response().output_text == "[weather: 7] so"
print("ok function")

schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
place = {"format": {"type": "json_schema", "name": "place", "schema": schema}}
where = {"model": "echo", "input": '!json={"city":"Ghent"} where?', "text": place}
assert responses.create(**where).output_text == '{"city":"Ghent"}'
with responses.stream(**where) as stream:
    assert stream.get_final_response().output_text == '{"city":"Ghent"}'
raises(openai.BadRequestError, "unsupported_parameter", lambda: create("x", tools=[{"type": "web_search"}]))
print("ok format")

conversation = client.conversations.create()
create("one", conversation=conversation.id)
assert create("!history two", conversation=conversation.id).output_text == "1"
assert len(client.conversations.items.list(conversation.id).data) == 4
assert client.conversations.delete(conversation.id).deleted
print("ok conversation")

image = {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0KGgo="}
content = [{"type": "input_text", "text": "look"}, image]
seen = create([{"role": "user", "content": content}])
assert len(responses.input_items.list(seen.id).data[0].content) == 2
print("ok picture")

raises(openai.BadRequestError, "unsupported_parameter", lambda: create("x", instructions="be brief"))
raises(openai.BadRequestError, "previous_response_not_found", lambda: create("x", previous_response_id="resp_x"))
raises(openai.NotFoundError, "response_not_found", lambda: responses.retrieve("resp_x"))
raises(openai.InternalServerError, "not_supported", lambda: responses.delete(whole.id))
assert create("!fail=no_luck").status == "failed"
print("ok refusals")
