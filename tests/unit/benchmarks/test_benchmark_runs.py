"""What the benchmarks' runner does with tasks, shards and what is done already."""

import json
from argparse import Namespace


def test_shards_share_all_tasks_once():
    from _runs import shard_of

    parts = [shard_of(Namespace(shard=f"{i}/3"), range(10)) for i in range(3)]
    assert sorted(n for part in parts for n in part) == list(range(10))


def test_what_is_done_is_not_done_again_and_a_failure_ends_nothing(tmp_path, capsys):
    from _runs import Task, run_tasks

    done = []

    def work(name):
        if name == "bad":
            raise ValueError("no such thing")
        done.append(name)
        return {"scores": {"x": 1.0}}

    args = Namespace(out=tmp_path / "new" / "run.jsonl")
    tasks = [
        Task({"set": name}, "part", name, lambda name=name: work(name))
        for name in ("a", "bad", "b")
    ]
    assert run_tasks(args, {"version": 1}, tasks) == 1
    assert "no such thing" in capsys.readouterr().err
    assert run_tasks(args, {"version": 1}, tasks) == 1
    assert done == ["a", "b"]
    run_tasks(args, {"version": 2}, tasks[:1])
    assert done == ["a", "b", "a"]
    lines = [json.loads(text) for text in args.out.read_text().splitlines()]
    assert [line["case"]["set"] for line in lines] == ["a", "b", "a"]
    assert lines[0]["origin"]["commit"]
