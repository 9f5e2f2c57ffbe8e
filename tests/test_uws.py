"""UWS 1.1 over HTTP, resource by resource: what is promised in the standard's section 2.2 and what clients rely on."""

from __future__ import annotations

import datetime
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from lxml import etree
from vo_models.uws import JobSummary
from vo_models.uws.models import Jobs as JobsModel
from vo_models.uws.models import MultiValuedParameter, Parameters
from werkzeug.test import TestResponse

from archive.faults import TransientFault, UsageFault
from archive.jobs import Client, Desk, Jobs, Lane, Runner, Terms
from archive.uws import Waiting, uws_blueprint
from tests.xsd import schema

BASE = "https://archive.example.org/tap/async"
LIST = "/tap/async"
NS = {"uws": "http://www.ivoa.net/xml/UWS/v1.0", "xlink": "http://www.w3.org/1999/xlink"}
ROWS = b"a\n" + b"".join(b"%d\n" % i for i in range(1000))


def work(desk: Desk) -> None:
    """What a query may come to, chosen by its text."""
    query = next((p.value for p in desk.job.parameters if p.name.upper() == "QUERY"), "")
    match query:
        case "bad":
            raise UsageFault("Line 1, column 1: <bad> is no query.", "Begin with SELECT.")
        case "later":
            raise TransientFault("The table is being moved.", "Try again.")
    desk.rows = 1000
    desk.write("result", "text/csv;header=present", "csv", [ROWS])


class Service:
    """A job list over HTTP, and one runner that works when it is told to."""

    def __init__(self, folder: Path, terms: Terms | None = None) -> None:
        self.jobs = Jobs(f"sqlite:///{folder}/jobs.sqlite", folder / "jobs", terms)
        self.who = Client(None, "192.0.2.1")
        self.app = Flask(__name__)
        faces = (("tap", LIST, BASE), ("soda", "/soda/async", "https://archive.example.org/soda/async"))
        for service, path, base in faces:
            face = uws_blueprint(
                service,
                self.jobs,
                lambda base=base: base,
                client=lambda: self.who,
                lane=lambda job: Lane.LONG if any("big" in p.value for p in job.parameters) else Lane.SHORT,
                waiting=Waiting(seconds=3, at_once=2),
            )
            self.app.register_blueprint(face, url_prefix=path)
        self.runner = Runner(self.jobs, {"tap": work, "soda": work}, Lane.SHORT)

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def get(self, path: str, **more: object) -> TestResponse:
        return self.client.get(path, **more)

    def post(self, path: str, **data: object) -> TestResponse:
        return self.client.post(path, data=data)

    def create(self, **data: object) -> str:
        """A new job; its path."""
        return self.at(self.post(LIST, **data))

    def at(self, response: TestResponse) -> str:
        """The path that a 303 points to, checked."""
        assert response.status_code == 303, response.text
        location = response.headers["Location"]
        assert location.startswith(BASE)
        return location.removeprefix("https://archive.example.org")

    def phase(self, job: str) -> str:
        return self.get(f"{job}/phase").text

    def done(self, **data: object) -> str:
        """A job that has been run; its path."""
        job = self.create(PHASE="RUN", **data)
        assert self.runner.step()
        return job

    def summary(self, job: str) -> etree._Element:
        response = self.get(job)
        assert response.status_code == 200
        return etree.fromstring(response.data)

    def close(self) -> None:
        self.jobs.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    opened = Service(tmp_path)
    yield opened
    opened.close()


def text(root: etree._Element, name: str) -> str | None:
    found = root.find(f"uws:{name}", NS)
    assert found is not None, name
    return found.text


def nil(root: etree._Element, name: str) -> bool:
    found = root.find(f"uws:{name}", NS)
    return found is not None and found.get("{http://www.w3.org/2001/XMLSchema-instance}nil") == "true"


# --- creation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"QUERY": "bad"},
        {"LANG": "Klingon", "MAXREC": "-1"},
        {"DESTRUCTION": "tomorrow", "EXECUTIONDURATION": "long", "RUNID": "x" * 65, "PHASE": "JUMP"},
    ],
)
def test_nothing_is_refused_at_creation(service: Service, data: dict[str, str]) -> None:
    assert service.phase(service.create(**data)) == "PENDING"


@pytest.mark.parametrize("phase", ["RUN", "run", "Run", " RUN"])
def test_a_job_can_be_started_at_creation_and_is_queued_when_the_answer_comes(service: Service, phase: str) -> None:
    job = service.create(QUERY="good", PHASE=phase)
    assert service.phase(job) == "QUEUED"
    ids = [parameter.get("id") for parameter in service.summary(job).find("uws:parameters", NS)]
    assert ids == ["QUERY"]


def test_parameters_of_the_url_count_too(service: Service) -> None:
    job = service.at(service.client.post(f"{LIST}?PHASE=RUN&RUNID=mine", data={"QUERY": "good"}))
    assert service.phase(job) == "QUEUED"
    assert text(service.summary(job), "runId") == "mine"


def test_a_bad_query_fails_when_it_runs(service: Service) -> None:
    job = service.done(QUERY="bad")
    root = service.summary(job)
    assert text(root, "phase") == "ERROR"
    summary = root.find("uws:errorSummary", NS)
    assert dict(summary.attrib) == {"type": "fatal", "hasDetail": "true"}
    assert [child.text for child in summary] == ["Line 1, column 1: <bad> is no query. Begin with SELECT."]
    error = service.get(f"{job}/error")
    assert error.status_code == 200
    assert error.content_type == "application/x-votable+xml"
    (status,) = etree.fromstring(error.data).findall(".//{*}INFO[@name='QUERY_STATUS']")
    assert status.get("value") == "ERROR"
    assert (status.text or "").endswith("Line 1, column 1: <bad> is no query. Begin with SELECT.")
    assert service.get(f"{job}/results/result").status_code == 404


def test_what_may_succeed_later_is_transient(service: Service) -> None:
    summary = service.summary(service.done(QUERY="later")).find("uws:errorSummary", NS)
    assert summary.get("type") == "transient"


@pytest.mark.parametrize(
    ("name", "value"),
    [("DESTRUCTION", "tomorrow"), ("EXECUTIONDURATION", "-1"), ("EXECUTIONDURATION", "nan"), ("RUNID", "x" * 65)],
)
def test_a_control_that_makes_no_sense_fails_the_job_when_it_runs(service: Service, name: str, value: str) -> None:
    job = service.done(QUERY="good", **{name: value})
    assert service.phase(job) == "ERROR"
    assert name in (service.summary(job).findtext("uws:errorSummary/uws:message", namespaces=NS) or "")


def test_controls_at_creation_are_heeded(service: Service) -> None:
    until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    job = service.create(EXECUTIONDURATION="17", DESTRUCTION=until, RUNID="r 1", query="good")
    assert service.get(f"{job}/executionduration").text == "17"
    assert service.get(f"{job}/destruction").text == until
    root = service.summary(job)
    assert text(root, "runId") == "r 1"
    assert [(p.get("id"), p.text) for p in root.find("uws:parameters", NS)] == [("query", "good")]


# --- phases ---------------------------------------------------------------------------------------------


def test_the_life_of_a_job(service: Service) -> None:
    job = service.create(QUERY="good")
    assert nil(service.summary(job), "startTime")
    assert service.at(service.post(f"{job}/phase", PHASE="RUN")) == job
    assert service.phase(job) == "QUEUED"
    assert service.summary(job).findtext(".//queuePosition") == "1"
    assert service.runner.step()
    root = service.summary(job)
    assert text(root, "phase") == "COMPLETED"
    assert root.findtext(".//rows") == "1000"
    (result,) = root.find("uws:results", NS)
    assert dict(result.attrib) == {
        "id": "result",
        "mime-type": "text/csv;header=present",
        "size": str(len(ROWS)),
        "{http://www.w3.org/1999/xlink}type": "simple",
        "{http://www.w3.org/1999/xlink}href": f"https://archive.example.org{job}/results/result",
    }


def test_running_twice_runs_once(service: Service) -> None:
    job = service.done(QUERY="good")
    for _ in range(2):
        assert service.at(service.post(f"{job}/phase", PHASE="RUN")) == job
    assert service.phase(job) == "COMPLETED"
    assert not service.runner.step()


@pytest.mark.parametrize("run", [False, True])
def test_abort_before_execution(service: Service, run: bool) -> None:
    job = service.create(QUERY="good", **({"PHASE": "RUN"} if run else {}))
    assert service.at(service.post(f"{job}/phase", PHASE="ABORT")) == job
    assert service.phase(job) == "ABORTED"
    assert not service.runner.step()


def test_abort_changes_nothing_about_an_ended_job(service: Service) -> None:
    job = service.done(QUERY="good")
    assert service.at(service.post(f"{job}/phase", PHASE="ABORT")) == job
    assert service.phase(job) == "COMPLETED"
    assert service.get(f"{job}/results/result").data == ROWS


def test_a_job_takes_phase_and_delete_itself(service: Service) -> None:
    job = service.create(QUERY="good")
    assert service.at(service.post(job, PHASE="RUN")) == job
    assert service.phase(job) == "QUEUED"
    assert service.at(service.post(job, ACTION="delete")) == LIST
    assert service.get(job).status_code == 404


@pytest.mark.parametrize("method", ["delete", "post"])
def test_nothing_is_left_of_a_deleted_job(service: Service, method: str) -> None:
    job = service.done(QUERY="good")
    deleted = service.client.delete(job) if method == "delete" else service.post(job, ACTION="DELETE")
    assert service.at(deleted) == LIST
    for path in ("", "/phase", "/results", "/results/result", "/error", "/parameters", "/destruction", "/quote"):
        assert service.get(job + path).status_code == 404
    assert service.client.delete(job).status_code == 404
    assert job.rsplit("/", 1)[1] not in service.get(LIST).text
    assert list(service.jobs.folders.root.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "data", "told"),
    [
        ("/phase", {"PHASE": "HELD"}, "PHASE=RUN or PHASE=ABORT"),
        ("/phase", {}, "PHASE is missing"),
        ("/destruction", {"DESTRUCTION": "soon"}, "2026-01-31T12:00:00Z"),
        ("/executionduration", {"EXECUTIONDURATION": "inf"}, "whole number"),
        ("/parameters", {"DESTRUCTION": "2026-01-01"}, "/destruction"),
        ("", {"QUERY": "x"}, "/parameters"),
    ],
)
def test_changes_that_make_no_sense_are_refused_in_words(
    service: Service, path: str, data: dict[str, str], told: str
) -> None:
    answer = service.post(service.create() + path, **data)
    assert answer.status_code == 400
    assert answer.content_type.startswith("text/plain")
    assert told in answer.text


# --- documents ------------------------------------------------------------------------------------------


def test_the_order_of_elements_and_the_version(service: Service) -> None:
    root = service.summary(service.done(QUERY="bad", RUNID="r"))
    assert root.get("version") == "1.1"
    names = [etree.QName(child).localname for child in root]
    assert (
        names
        == (
            "jobId runId ownerId phase quote creationTime startTime endTime executionDuration destruction "
            "parameters results errorSummary jobInfo"
        ).split()
    )


def test_what_is_not_known_is_nil_in_the_document_and_empty_as_text(service: Service) -> None:
    job = service.create()
    root = service.summary(job)
    assert all(nil(root, name) for name in ("ownerId", "quote", "startTime", "endTime"))
    for path in ("quote", "owner"):
        answer = service.get(f"{job}/{path}")
        assert (answer.status_code, answer.content_type, answer.data) == (200, "text/plain", b"")


def test_texts_equal_the_document_to_the_letter(service: Service) -> None:
    job = service.done(QUERY="good")
    root = service.summary(job)
    for path, name in (("phase", "phase"), ("executionduration", "executionDuration"), ("destruction", "destruction")):
        answer = service.get(f"{job}/{path}")
        assert answer.content_type == "text/plain"
        assert answer.text == text(root, name)
    for name in ("creationTime", "startTime", "endTime", "destruction"):
        assert (text(root, name) or "")[10::9].startswith("T")
        assert (text(root, name) or "").endswith("Z")


def test_values_of_all_kinds_survive_in_the_document(service: Service) -> None:
    query = "SELECT '<&>\"\u00e9\U0001f52d' FROM t\n-- \x00\x08"
    root = service.summary(service.create(QUERY=query))
    assert root.findtext("uws:parameters/uws:parameter", namespaces=NS) == query.replace("\x00", "\ufffd").replace(
        "\x08", "\ufffd"
    )


@pytest.mark.service
def test_documents_keep_to_the_schema(service: Service, tmp_path: Path) -> None:
    allowed = schema(tmp_path)
    jobs = [
        service.create(),
        service.done(QUERY="good", RUNID="a & b"),
        service.done(QUERY="bad"),
        service.create(QUERY="good", PHASE="RUN", UPLOAD="t,param:t", t="<VOTABLE/>"),
    ]
    service.post(f"{jobs[0]}/phase", PHASE="ABORT")
    service.who = Client("ada", "192.0.2.1")
    jobs.append(service.create(QUERY="\x00"))
    for path in (*jobs, LIST, f"{jobs[1]}/results", f"{jobs[3]}/parameters"):
        service.who = Client("ada" if path == jobs[-1] else None, "192.0.2.1")
        allowed.assertValid(etree.fromstring(service.get(path).data))


class AnyParameters(Parameters):
    QUERY: MultiValuedParameter | None = None
    UPLOAD: MultiValuedParameter | None = None
    t1: MultiValuedParameter | None = None


def test_an_independent_reader_understands_job_and_list(service: Service) -> None:
    job = service.done(QUERY="good", RUNID="r")
    read = JobSummary[AnyParameters].from_xml(service.get(job).data)
    assert (read.phase, read.run_id, read.owner_id) == ("COMPLETED", "r", None)
    assert [result.id for result in read.results.results] == ["result"]
    assert read.version == "1.1"
    listed = JobsModel.from_xml(service.get(LIST).data)
    assert [ref.job_id for ref in listed.jobref or []] == [job.rsplit("/", 1)[1]]


# --- parameters and uploads -----------------------------------------------------------------------------


def test_parameters_are_added_while_pending(service: Service) -> None:
    job = service.create(QUERY="bad")
    assert service.at(service.post(f"{job}/parameters", query="good", RUNID="second", MAXREC="5")) == job
    root = service.summary(job)
    assert {p.get("id"): p.text for p in root.find("uws:parameters", NS)} == {"query": "good", "MAXREC": "5"}
    assert text(root, "runId") == "second"
    service.post(f"{job}/phase", PHASE="RUN")
    refused = service.post(f"{job}/parameters", QUERY="bad")
    assert refused.status_code == 400
    assert "QUEUED" in refused.text


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("as_file", [False, True])
def test_uploads_are_kept_by_reference(service: Service, later: bool, as_file: bool) -> None:
    table = b"<VOTABLE/>"
    data = {"UPLOAD": "t1,param:t1", "t1": (io.BytesIO(table), "t.vot") if as_file else table.decode()}
    job = service.create(**({} if later else data))
    if later:
        answer = service.client.post(f"{job}/parameters", data=data, content_type="multipart/form-data")
        assert service.at(answer) == job
    parameters = service.summary(job).find("uws:parameters", NS)
    found = {p.get("id"): (p.get("byReference"), p.text) for p in parameters}
    url = f"https://archive.example.org{job}/parameters/t1"
    assert found == {"UPLOAD": (None, "t1,param:t1"), "t1": ("true", url)}
    assert service.get(f"{job}/parameters/t1").data == table
    assert service.get(f"{job}/parameters/t2").status_code == 404


# --- lists ----------------------------------------------------------------------------------------------


def listed(service: Service, query: str = "") -> list[str]:
    root = etree.fromstring(service.get(LIST + query).data)
    assert root.tag == f"{{{NS['uws']}}}jobs"
    assert root.get("version") == "1.1"
    return [f"{LIST}/{ref.get('id')}" for ref in root]


def test_a_list_may_be_empty(service: Service) -> None:
    assert listed(service) == []


def test_a_list_can_be_filtered(service: Service) -> None:
    first = service.create(RUNID="r")
    time.sleep(0.002)
    second = service.create(PHASE="RUN")
    time.sleep(0.002)
    third = service.done(QUERY="bad")  # the runner takes the job that waits longest
    assert (service.phase(second), service.phase(third)) == ("COMPLETED", "QUEUED")
    assert listed(service) == [third, second, first]
    assert listed(service, "?PHASE=PENDING&PHASE=queued") == [third, first]
    assert listed(service, "?LAST=2") == [third, second]
    created = text(service.summary(first), "creationTime")
    assert listed(service, f"?AFTER={created}") == [third, second]
    assert listed(service, f"?AFTER={created}&PHASE=COMPLETED&LAST=1") == [second]
    assert listed(service, "?PHASE=ARCHIVED") == []
    ref = etree.fromstring(service.get(f"{LIST}?PHASE=PENDING").data)[0]
    assert [etree.QName(child).localname for child in ref] == ["phase", "runId", "creationTime"]
    assert ref.get("{http://www.w3.org/1999/xlink}href") == f"https://archive.example.org{first}"


@pytest.mark.parametrize("query", ["LAST=0", "LAST=-1", "LAST=x", "AFTER=yesterday", "PHASE=LOST"])
def test_filters_that_make_no_sense_are_refused(service: Service, query: str) -> None:
    assert service.get(f"{LIST}?{query}").status_code == 400


def test_jobs_of_others_are_neither_listed_nor_shown(service: Service) -> None:
    service.who = Client("ada", "192.0.2.1")
    job = service.create(QUERY="good")
    assert service.get(f"{job}/owner").text == "ada"
    assert text(service.summary(job), "ownerId") == "ada"
    for other in (Client("bob", "192.0.2.1"), Client(None, "192.0.2.1")):
        service.who = other
        assert listed(service) == []
        assert service.get(job).status_code == 403
        assert service.client.delete(job).status_code == 403
        assert service.post(f"{job}/phase", PHASE="ABORT").status_code == 403
    service.who = Client("ada", "198.51.100.7")
    assert service.phase(job) == "PENDING"


def test_lists_are_apart(service: Service) -> None:
    job = service.create().rsplit("/", 1)[1]
    assert service.get(f"/soda/async/{job}").status_code == 404
    assert job not in service.get("/soda/async").text


def test_too_many_jobs_are_refused_with_the_time_to_come_again(tmp_path: Path) -> None:
    service = Service(tmp_path, Terms(active=1))
    service.create(PHASE="RUN")
    refused = service.post(LIST, PHASE="RUN")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    assert "1 are allowed" in refused.text
    assert len(listed(service)) == 1
    service.close()


# --- waiting --------------------------------------------------------------------------------------------


def waited(service: Service, path: str) -> tuple[str, float]:
    began = time.monotonic()
    root = etree.fromstring(service.get(path).data)
    return text(root, "phase") or "", time.monotonic() - began


@pytest.mark.parametrize("wait", ["WAIT=300", "WAIT=-1", "wait=20&phase=queued"])
def test_waiting_ends_with_the_phase(service: Service, wait: str) -> None:
    job = service.create(QUERY="good", PHASE="RUN")
    runs = threading.Timer(0.2, service.runner.step)
    runs.start()
    phase, seconds = waited(service, f"{job}?{wait}")
    runs.join()
    assert phase in ("EXECUTING", "COMPLETED")
    assert 0.15 < seconds < 3


def test_waiting_ends_with_the_time_asked_for(service: Service) -> None:
    phase, seconds = waited(service, f"{service.create()}?WAIT=1")
    assert phase == "PENDING"
    assert seconds >= 1


def test_waiting_for_ever_has_an_end(service: Service) -> None:
    _, seconds = waited(service, f"{service.create()}?WAIT=-1")
    assert seconds >= 3


@pytest.mark.parametrize("query", ["WAIT=0", "WAIT=30&PHASE=QUEUED", "PHASE=PENDING"])
def test_there_is_nothing_to_wait_for(service: Service, query: str) -> None:
    assert waited(service, f"{service.create()}?{query}")[1] < 3


def test_an_ended_job_is_not_waited_for(service: Service) -> None:
    assert waited(service, f"{service.done(QUERY='good')}?WAIT=30")[1] < 3


@pytest.mark.parametrize("wait", ["-2", "soon", "1.5", ""])
def test_waits_that_make_no_sense_are_refused(service: Service, wait: str) -> None:
    assert service.get(f"{service.create()}?WAIT={wait}").status_code == 400


def test_so_many_wait_and_no_more(service: Service) -> None:
    job = service.create()
    waiters = [threading.Thread(target=waited, args=(service, f"{job}?WAIT=30")) for _ in range(2)]
    for waiter in waiters:
        waiter.start()
    time.sleep(0.3)
    assert waited(service, f"{job}?WAIT=30")[1] < 3
    for waiter in waiters:
        waiter.join()


# --- results --------------------------------------------------------------------------------------------


def test_a_result_can_be_fetched_in_parts(service: Service) -> None:
    url = f"{service.done(QUERY='good')}/results/result"
    whole = service.get(url)
    assert (whole.status_code, whole.data) == (200, ROWS)
    assert whole.headers["Content-Type"] == "text/csv;header=present"
    assert whole.headers["Content-Length"] == str(len(ROWS))
    part = service.get(url, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.data) == (206, ROWS[5:10])
    assert part.headers["Content-Range"] == f"bytes 5-9/{len(ROWS)}"
    assert service.get(url, headers={"Range": f"bytes={len(ROWS)}-"}).status_code == 416
    assert service.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    head = service.client.head(url)
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", str(len(ROWS)))


def test_no_result_before_the_end_and_no_error_without_one(service: Service) -> None:
    job = service.create(QUERY="good")
    assert service.get(f"{job}/results/result").status_code == 404
    assert len(etree.fromstring(service.get(f"{job}/results").data)) == 0
    service.post(f"{job}/phase", PHASE="RUN")
    service.runner.step()
    assert service.get(f"{job}/error").status_code == 404
    assert len(etree.fromstring(service.get(f"{job}/results").data)) == 1
    assert service.get(f"{job}/results/other").status_code == 404


def test_trailing_slashes_and_heads_are_answered_alike(service: Service) -> None:
    job = service.at(service.client.post(f"{LIST}/", data={"QUERY": "good"}))
    for path in (LIST, job, f"{job}/phase", f"{job}/parameters", f"{job}/results"):
        plain, slashed = service.get(path), service.get(f"{path}/")
        assert (plain.status_code, slashed.status_code) == (200, 200)
        assert plain.data == slashed.data
        head = service.client.head(path)
        assert (head.status_code, head.data, head.content_type) == (200, b"", plain.content_type)


def test_what_does_not_exist_is_not_found_in_plain_words(service: Service) -> None:
    answer = service.get(f"{LIST}/nojob")
    assert answer.status_code == 404
    assert answer.content_type.startswith("text/plain")
    assert "There is no job nojob" in answer.text


def test_a_job_is_put_into_its_lane_when_it_is_run(service: Service) -> None:
    job = service.create(QUERY="big", PHASE="RUN")
    assert service.summary(job).findtext(".//lane") == "long"
    assert not service.runner.step()
