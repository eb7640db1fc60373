"""Each forge's webhooks and statuses, spoken to stand-ins that keep to its documentation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskengine.errors import InvalidInput
from taskengine.service.outgoing import Reach
from tests.triggers.forges.fakes import COMMIT, FAKES, TOKEN, AzureFake, BitbucketServerFake, Fake
from triggers.forges import api_of
from triggers.forges.model import Gone, HookWanted, Refused, StatusWanted, Talk, Told
from triggers.forges.place import Place, place_of
from triggers.forges.speak import carry

HOOK = "https://ci.example.com/hooks/x/web"
EVENTS = {
    "github": (["push"], ["pull_request", "push"]),
    "gitlab": (["push_events", "tag_push_events"], ["merge_requests_events", "push_events", "tag_push_events"]),
    "gitea": (["push"], ["pull_request", "pull_request_sync", "push"]),
    "bitbucket": (["repo:push"], ["pullrequest:created", "pullrequest:updated", "repo:push"]),
    "bitbucketserver": (
        ["repo:refs_changed"],
        ["pr:from_ref_updated", "pr:opened", "pr:reopened", "repo:refs_changed"],
    ),
    "azuredevops": (["git.push"], ["git.pullrequest.created", "git.pullrequest.updated", "git.push"]),
}


@pytest.fixture(params=sorted(FAKES))
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    made = FAKES[request.param]()
    yield made
    made.close()


def name_of(fake: Fake) -> str:
    return next(name for name, kind in FAKES.items() if type(fake) is kind)


def place(fake: Fake) -> Place:
    if name_of(fake) == "bitbucket":  # whose API has one address in the world
        return Place(forge="bitbucket", base=f"{fake.root}/2.0", path=("octo", "web"))
    return place_of(fake.url, fake.declared)


def speak(fake: Fake, talk: Talk, token: str = TOKEN) -> str:
    return carry(talk, place(fake), token, "PAT", reach=Reach.ANYWHERE)


def make(fake: Fake, known: str = "", secret: str = "s3cret", *, pulls: bool = False) -> str:
    wanted = HookWanted(url=HOOK, secret=secret, pull_requests=pulls)
    return speak(fake, api_of(place(fake)).make_hook(place(fake), wanted, known))


def tell(fake: Fake, told: Told, *, link: str = "https://ci.example.com/api/v1/runs/ca1", name: str = "web") -> None:
    wanted = StatusWanted(commit=COMMIT, told=told, name=f"acr-task/{name}", description="x" * 600, link=link)
    speak(fake, api_of(place(fake)).set_status(place(fake), wanted))


def test_a_webhook_is_made_once_changed_and_removed(fake: Fake) -> None:
    pushes, both = EVENTS[name_of(fake)]
    number = make(fake)
    assert number
    assert fake.deliveries() == [(HOOK, "s3cret", pushes)]
    assert make(fake, number, "other", pulls=True).split(",")[0] == number
    assert fake.deliveries() == [(HOOK, "other", both)]
    number = make(fake, number, "other")
    assert fake.deliveries() == [(HOOK, "other", pushes)]
    api = api_of(place(fake))
    speak(fake, api.remove_hook(place(fake), number))
    assert fake.deliveries() == []
    speak(fake, api.remove_hook(place(fake), number))  # it is gone: that is what was wanted


def test_a_webhook_whose_number_was_lost_is_found_by_its_address(fake: Fake) -> None:
    make(fake)
    make(fake, secret="newer")
    assert [one[:2] for one in fake.deliveries()] == [(HOOK, "newer")]
    assert len(fake.hooks) == 1


def test_a_webhook_that_somebody_removed_is_made_again(fake: Fake) -> None:
    number = make(fake)
    fake.hooks.clear()
    make(fake, number)
    assert len(fake.deliveries()) == 1


def test_the_course_of_a_run_is_shown_beside_its_commit(fake: Fake) -> None:
    for told in (Told.QUEUED, Told.RUNNING, Told.SUCCEEDED):
        tell(fake, told)
    assert {commit for commit, _ in fake.statuses} == {COMMIT}
    wanted = {
        "github": ["pending", "pending", "success"], "gitea": ["pending", "pending", "success"],
        "gitlab": ["pending", "running", "success"], "bitbucket": ["INPROGRESS", "INPROGRESS", "SUCCESSFUL"],
        "bitbucketserver": ["INPROGRESS", "INPROGRESS", "SUCCESSFUL"],
        "azuredevops": ["pending", "pending", "succeeded"],
    }  # fmt: skip
    assert fake.told() == wanted[name_of(fake)]
    assert fake.link() == "https://ci.example.com/api/v1/runs/ca1"


@pytest.mark.parametrize("told", list(Told))
def test_every_end_of_a_run_has_a_word_at_every_forge(fake: Fake, told: Told) -> None:
    tell(fake, told, name="a-task-with-a-name-of-forty-seven-characters-00")
    assert len(fake.statuses) == 1


def test_the_same_status_again_is_as_good_as_once(fake: Fake) -> None:
    tell(fake, Told.QUEUED)
    tell(fake, Told.QUEUED)
    assert len(set(fake.told())) == 1


def test_bitbucket_wants_a_link_and_others_do_without(fake: Fake) -> None:
    if name_of(fake).startswith("bitbucket"):
        with pytest.raises(InvalidInput, match="without a link"):
            tell(fake, Told.QUEUED, link="")
        return
    tell(fake, Told.QUEUED, link="")
    assert len(fake.statuses) == 1


def test_an_old_bitbucket_is_told_in_its_old_way() -> None:
    fake = BitbucketServerFake()
    fake.old = True
    try:
        tell(fake, Told.SUCCEEDED)
        assert fake.told() == ["SUCCESSFUL"]
        assert fake.requests[-1][1].startswith("/rest/build-status/")
    finally:
        fake.close()


def test_a_token_that_is_refused_is_said_and_not_shown(fake: Fake) -> None:
    secret = "wrong-0123456789"
    with pytest.raises(Refused) as caught:
        speak(fake, api_of(place(fake)).make_hook(place(fake), HookWanted(url=HOOK, secret="s3cret"), ""), secret)
    assert "the forge answered 401" in caught.value.message
    assert "Bad credentials" in caught.value.message
    assert "the token needs" in (caught.value.hint or "")
    for text in (secret, "s3cret"):
        assert text not in f"{caught.value.message} {caught.value.hint} {caught.value!r}"


def test_a_forge_that_echoes_the_token_does_not_get_it_into_an_error(fake: Fake) -> None:
    fake.broken = [(422, {"message": f"no such scope for {TOKEN}\x1b[2J"}, {})]
    with pytest.raises(Refused, match=r"no such scope for \*\*\*\[2J") as caught:
        tell(fake, Told.QUEUED)
    assert TOKEN not in str(caught.value)


def test_a_forge_that_echoes_the_webhooks_secret_does_not_get_it_into_an_error(fake: Fake) -> None:
    number = make(fake)
    # Azure Repos asks twice before it sends the secret
    fine = [(200, {"value": []}, {})] * 2 if name_of(fake) == "azuredevops" else []
    fake.broken = [*fine, (422, {"message": "s3cret-of-the-hook is too short"}, {})]
    with pytest.raises(Refused, match=r"\*\*\* is too short") as caught:
        make(fake, number, "s3cret-of-the-hook")
    assert "s3cret" not in str(caught.value)


def test_redirects_are_not_followed_with_a_token(fake: Fake) -> None:
    fake.broken = [(301, {}, {"Location": "http://127.0.0.1:1/elsewhere"})]
    with pytest.raises(Refused) as caught:
        tell(fake, Told.QUEUED)
    assert caught.value.hint == "it has moved: correct repositoryUrl"
    assert len(fake.requests) == 1


def test_a_forge_that_is_not_well_is_asked_later(fake: Fake) -> None:
    fake.broken = [(503, {"message": "maintenance"}, {"Retry-After": "77"}), (403, {}, {"X-RateLimit-Remaining": "0"})]
    with pytest.raises(Gone, match="answered 503: maintenance") as caught:
        tell(fake, Told.QUEUED)
    assert (caught.value.status, caught.value.seconds) == (503, 77)
    with pytest.raises(Gone, match="answered 403"):
        tell(fake, Told.QUEUED)
    fake.close()
    with pytest.raises(Gone, match="could not be asked"):
        tell(fake, Told.QUEUED)


def test_what_a_forge_answers_may_be_anything(fake: Fake) -> None:
    for body in (
        [],
        "text",
        None,
        {"value": 3, "values": [1], "errors": {"a": 1}},
        {"errors": ["a", {"message": "b"}]},
    ):
        fake.broken = [(200, body, {})] * 4  # type: ignore[list-item]
        api_of(place(fake))
        make(fake)
        fake.broken = [(400, body, {})] * 4  # type: ignore[list-item]
        with pytest.raises(Refused):
            make(fake)


@pytest.mark.parametrize("reach", [Reach.PUBLIC, Reach.NETWORK])
def test_this_machine_is_not_asked_unless_an_operator_says_so(fake: Fake, reach: Reach) -> None:
    talk = api_of(place(fake)).remove_hook(place(fake), "1")
    with pytest.raises(InvalidInput, match="is an address of this machine"):
        carry(talk, place(fake), TOKEN, "PAT", reach=reach)
    assert fake.requests == []


def test_a_user_and_a_password_go_as_basic_authentication() -> None:
    for name in FAKES:
        found = api_of(Place(forge=name, base="", path=())).headers("me:pass", "PAT")
        assert found["Authorization"] == "Basic bWU6cGFzcw=="
    oauth = api_of(Place(forge="azuredevops", base="", path=())).headers("tok", "OAuth")
    assert oauth["Authorization"] == "Bearer tok"


def test_azure_repos_forgets_subscriptions_that_are_not_wanted_any_more() -> None:
    fake = AzureFake()
    try:
        number = make(fake, pulls=True)
        assert len(number.split(",")) == 3
        assert make(fake, number) == number.split(",")[0]
        assert len(fake.hooks) == 1
    finally:
        fake.close()
