"""Every operation of the tables, one after the other: a request that makes sense is carried out and answered in the model's
shape, an empty and a garbage one are refused as the model says.
"""
import re

import model
import mutate
import wire

TRIES = 150
"""Requests that make sense until one is carried out: what they name may have gone meanwhile."""
REFRESH = 20
"""After so many refusals it is looked up again what lives, and a task is run: the older ones may have ended."""
ORDER = ["CreateCluster", "Register", "CreateService", "Create", "Register", "Put", "Run", "Start", "Tag", "List", "Describe", "Get"]
"""What fills the server comes first, what empties it last."""
WAITING = {"ListServicesByNamespace": "there are no namespaces yet", "ContinueServiceDeployment": "needs a deployment that pauses, which takes its time",
           "StopServiceDeployment": "needs a deployment that goes on at this moment",
           **dict.fromkeys(("DiscoverPollEndpoint", "SubmitAttachmentStateChanges", "SubmitContainerStateChange", "SubmitTaskStateChange"),
                           "there is no endpoint for agents of other hosts yet"),
           **dict.fromkeys(("RegisterContainerInstance", "UpdateContainerAgent"), "needs the identity document of an instance: no recipe yet"),
           **dict.fromkeys(("CreateDaemon", "UpdateDaemon", "DeleteDaemon", "DescribeDaemon", "ListDaemonDeployments", "DescribeDaemonDeployments",
                            "DescribeDaemonRevisions", "RegisterDaemonTaskDefinition", "DescribeDaemonTaskDefinition", "DeleteDaemonTaskDefinition"),
                           "needs a provider over a group of the fleet: no recipe yet")}
"""Operations of which no request can be carried out at once."""
GARBAGE = {"json": mutate.GARBAGE, "query": [b"Action=\xff\xfe", b"%", b"=&=&", b"\0" * 100]}


def rank(one):
    word = next((index for index, word in enumerate(ORDER) if one[1].startswith(word)), len(ORDER))
    return word + (10 if one[1].startswith(("Delete", "Deregister", "Remove", "Untag")) else 0), one


def works(player, service, op):
    """Whether one of the requests that make sense is carried out, and the refusals on the way."""
    refusals = {}
    for attempt in range(TRIES if service == "ecs" else TRIES // 4):
        if attempt % REFRESH == REFRESH - 1:
            player.send("ecs", "RunTask", b'{"taskDefinition": "f0"}', False, {})
            player.prime()
        value, _ = player.input(service, op)
        status, code, message = player.send(service, op, wire.written(service, op, value), False, value)
        if status == 200:
            return True, refusals
        text = re.sub(r"[0-9a-f]{8,}|\d+", "#", f"{code}: {message}")[:160]
        refusals[text] = refusals.get(text, 0) + 1
    return False, refusals


def refuses(player, service, op, body, what):
    """4xx, by a code that the operation may answer."""
    before = len(player.problems)
    status, code, _ = player.send(service, op, body, False)
    if not 400 <= status < 500:
        player.problem(f"{service} {op}: {what} is answered {status} {code}", f"{service} {op} {body[:300]!r}")
    return len(player.problems) == before


def run(player, strict):
    """Gives how many checks passed. `strict`: the service whose every operation must be carried out at least once."""
    passed, lame = 0, []
    player.prime()
    for service, op in sorted(player.there, key=rank):
        carried_out, refusals = works(player, service, op)
        if carried_out:
            passed += 1
        elif service == strict and op not in WAITING:
            player.problem(f"{service} {op}: nothing was carried out", f"{refusals}")
        else:
            lame.append(f"{service} {op}")
        shape = model.operation(service, op).input_shape
        if shape is not None and shape.required_members:
            passed += refuses(player, service, op, wire.written(service, op, {}), "an empty request")
        json = model.speaks_json(service)
        for body in GARBAGE["json" if json else "query"]:
            passed += refuses(player, service, op, body, "garbage")
    return passed, lame
