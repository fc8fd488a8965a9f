#!/usr/bin/env python3
"""launch/benchmarks.sh: that the lists of the repository can be read, and, over lists of this test, that runs, trunks, fine-tuning, tables
and stops do what launch/benchmark_list.py says.   benchmarks.py SMARTBIRD REPOSITORY"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

binary, repository = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
TINY = f"""[data]
train = {repository}/tests/data/books/train/wells
valid = {repository}/tests/data/books/unseen
sequence_tokens = 64
[train]
steps = 6
batch_tokens = 128
warmup_steps = 1
[model]
layers = 1
width = 16
heads = 2
[sketch]
width = 4
probes = 4
[attention]
picks = 4
window = 4
[eval]
every = 3
sequences = 2
"""


def environment(folder, program=binary):
    return dict(os.environ, SMARTBIRD_BINARY=str(program), SMARTBIRD_BENCHMARKS=str(folder), OMP_NUM_THREADS="1")


def benchmarks(folder, *arguments, program=binary):
    done = subprocess.run(["bash", str(repository / "launch/benchmarks.sh"), *arguments], capture_output=True, text=True,
                          env=environment(folder, program))
    return done.returncode, done.stdout + done.stderr


def results(folder, name):
    return [json.loads(line) for line in (folder / "results" / f"{name}.jsonl").read_text().splitlines()]


def program_with(folder, said, option):
    """One whose default is another where its command line says so."""
    program = folder / "otherwise"
    program.write_text(f'#!/bin/sh\ncase "$*" in *{said}*) set -- "$@" {option};; esac\nexec {binary} "$@"\n')
    program.chmod(0o755)
    return program


def check(holds, what):
    if not holds:
        sys.exit(f"failed: {what}")


def write(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def the_lists_of_the_repository_are_read():
    code, said = benchmarks(repository / "configs/benchmarks", "--list", "--full")
    check(code == 0 and "runs to do" in said, said)
    known = set(re.findall(r"^(--\S+?)=", subprocess.run([binary, "pretrain", "--help"], capture_output=True, text=True).stdout, re.MULTILINE))
    for runs in (repository / "configs/benchmarks").glob("*.runs"):
        named = {option for line in runs.read_text().splitlines() if not line.startswith(("#", "prepare"))
                 for option in re.findall(r"(--[a-z_]+\.[a-z_]+)=", line)}
        check(len(known) > 50 and named <= known, f"{runs}: unknown {named - known}")
    for config in (repository / "configs/benchmarks").glob("*.ini"):
        done = subprocess.run([binary, "plan", "--config", config, "--data.train=none", "--data.tokenizer=bytes", "--data.vocabulary="],
                              capture_output=True, text=True)
        generated = done.returncode == 0
        check(generated or done.returncode == 3 and "data.train: nothing at none" in done.stderr, f"{config}: {done.stderr}")


def runs_are_made_once_and_again_when_their_options_change(folder):
    write(folder, a__ini=TINY, a__runs="all | 1,2 | 1 |\nan odd_name | 1 | 1 | --attention.draw=topk\nan odd name | +1 | 1 | --attention.draw=none\n")
    code, said = benchmarks(folder, "a")
    check(code == 0 and "3 runs to do" in said, said)
    made = results(folder, "a")
    check([(r["variant"], r["seed"]) for r in made] == [("all", 1), ("an odd_name", 1), ("all", 2)], f"first seeds first: {made}")
    check(all(r["steps"] == 6 and len(r["curve"]) == 2 and r["curve"][1][3] > r["curve"][0][3] > 0 for r in made), f"curves: {made}")
    check(0 < made[0]["sketch_report"]["caught"]["sketch"] <= 1, f"a sketch report: {made[0]}")
    check("| all | 2 |" in (folder / "results/a.md").read_text(), "the table names the variant and its seeds")
    check("0 runs to do" in benchmarks(folder, "a")[1], "nothing is repeated")
    check("1 runs to do" in benchmarks(folder, "--list", "--full", "a")[1], "--full adds a run")
    check("1 runs to do" in benchmarks(folder, "--list", "--full", "--only=odd name", "a")[1], "--only takes a part of the names")
    check("no variant of a has 'even'" in benchmarks(folder, "--list", "--full", "--only=even", "a")[1], "--only takes no other")
    write(folder, a__runs="all | 1,2 | 1 | --attention.picks=2\n")
    check("2 runs to do" in benchmarks(folder, "--list", "a")[1], "other options, other results")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout
    check(all(f"commit {r['commit']}\n" in version for r in made), "the commit is that of the program")
    check(all(0 < r["cpu_s"] <= r["wall_s"] * r["threads"] + 1 for r in made), f"one thread computes no longer than the clock says: {made}")


def a_trunk_is_made_once_and_gone_on_from(folder):
    write(folder, b__runs="config = a.ini\noptions = --eval.sequences=1\ntrunk_steps = 4\nsame | 1 | 1 |\nother | 1 | 1 | --attention.draw=oracle\n",
          whole__runs="config = a.ini\noptions = --eval.sequences=1\nsame | 1 | 1 |\n")
    code, said = benchmarks(folder, "b", "whole")
    check(code == 0, said)
    same, other = results(folder, "b")
    whole = results(folder, "whole")[0]
    check(same["evaluation"]["loss"] == whole["evaluation"]["loss"], f"a trunk changes no bit: {same} {whole}")
    check(other["evaluation"]["loss"] != whole["evaluation"]["loss"], f"the option counts: {other}")
    check(same["trunk"] == other["trunk"] and same["trunk"]["wall_s"] > 0 and same["trunk"]["commit"] == same["commit"], "one trunk")
    newer = program_with(folder, "run.resume", "--train.beta1=0.5")
    write(folder, b__runs=(folder / "b.runs").read_text() + "third | 1 | 1 |\n")
    code, said = benchmarks(folder, "b", program=newer)
    check(code == 1 and "has another train.beta1" in said and f"remove {folder}/scratch/trunks/a-" in said, f"a trunk of other defaults: {said}")


def a_trained_model_is_fine_tuned(folder):
    tune = (f"[data]\ntrain = {repository}/tests/data/books/train/conrad\nvalid = {repository}/tests/data/books/unseen\n"
            "[train]\nsteps = 2\nwarmup_steps = 1\n")
    write(folder, c__ini=tune, c__runs="finetune_from = a.ini\ntrunk_seed = 7\nalso_evaluate = --eval.draw=dense\nsparse | 1 | 1 |\n"
                                       "window | 1 | 1 | --train.steps=3 | --attention.pattern=window\n")
    code, said = benchmarks(folder, "c")
    check(code == 0, said)
    sparse, window = results(folder, "c")
    check((sparse["steps"], window["steps"]) == (2, 3), f"steps: {sparse} {window}")
    check(sparse["also"]["loss"] != sparse["evaluation"]["loss"] and abs(sparse["also"]["loss"] - sparse["evaluation"]["loss"]) < 0.5,
          f"a second evaluation: {sparse}")
    check(len(list((folder / "scratch/trunks").glob("a-*-7"))) == 2, "trunks of that seed, one for each options")
    check("no layer is sparse" in window["sketch_report"]["none"], f"the trunk's options count, and why there is no report: {window}")
    check("trunk was made anew" not in (folder / "results/c.md").read_text(), "of each trunk there is one")


def a_trunk_made_anew_is_told_where_it_differs(folder):
    """Goes on from the test before it."""
    otherwise = program_with(folder, "scratch/trunks", "--train.learning_rate=0.01")
    for variant, program in (("same", binary), ("other", otherwise)):
        shutil.rmtree(folder / "scratch/trunks")
        write(folder, c__runs=(folder / "c.runs").read_text() + f"{variant} | 1 | 1 | --train.steps=3\n")
        code, said = benchmarks(folder, "c", program=program)
        check(code == 0, said)
        table = (folder / "results/c.md").read_text()
        check(("trunk was made anew" in table) == (program != binary), f"the same weights are the same trunk, others are another: {table}")
    told = [line.split(": ")[1] for line in table.splitlines() if line.startswith("- of commit")]
    check(told == ["sparse (seed 1); same (seed 1)", "other (seed 1)"], table)


def data_are_prepared_once(folder):
    made = folder / "lists/train"
    listops = TINY.replace(f"{repository}/tests/data/books/train/wells", str(made))
    listops = listops.replace(f"{repository}/tests/data/books/unseen", str(made))
    write(folder, g__ini=listops,
          g__runs=f"prepare = data listops --output={made} --count=9 --min-tokens=10 --max-tokens=40\n"
                  "options = --data.task=classify\nx | 1,2 | 1 |\n")
    code, said = benchmarks(folder, "g")
    check(code == 0 and made.with_name("train.idx").exists(), said)
    lists = (folder / "g.runs").read_text()
    write(folder, g__runs=lists.replace("--count=9", "--count=8"))
    code, said = benchmarks(folder, "g")
    check(code == 1 and "was not made by" in said and "--count=8" in said, f"data of another command: {said}")
    check("majority_accuracy" in results(folder, "g")[0]["evaluation"], "the prepared data were read")


def texts_become_words_of_one_vocabulary(folder):
    texts, words = folder / "texts", folder / "words"
    (texts / "books").mkdir(parents=True)
    (texts / "movie_reviews").mkdir()
    rows, book_bytes = ["file\tauthor\tlm_split\tauthor_split\tbytes\twords"], 3000
    for author in ("wells", "conrad"):
        book = sorted(path for path in (repository / "tests/data/books/train" / author).rglob("*") if path.is_file())[0].read_bytes()
        for number, split in enumerate(("train", "test", "none")):
            file = f"{author}_{split}.txt"
            (texts / "books" / file).write_bytes(book[number * book_bytes:(number + 1) * book_bytes])
            rows.append(f"{file}\t{author}\t{({'train': 'train', 'test': 'none', 'none': 'valid'})[split]}\t{split}\t{book_bytes}\t500")
    (texts / "books/manifest.tsv").write_text("\n".join(rows) + "\n")
    for split, name in (("train", "train-1"), ("train", "train-2"), ("valid", "valid"), ("test", "test")):
        review = f"Never, in a tale:\\n{split} xylograph_{name} " + "long " * 200
        (texts / "movie_reviews" / f"{name}.tsv").write_text(f"label\tid\ttext\n1\t{name}_7\t{review}\n0\t{name}_7\t...\n")
    ini = TINY.replace(f"{repository}/tests/data/books/train/wells", f"{words}/authors_1024/train.tsv")
    ini = ini.replace(f"{repository}/tests/data/books/unseen", f"{words}/authors_1024/test.tsv")
    write(folder, h__ini=ini, h__runs=f"prepare = words --output={words}\noptions = --data.task=classify --eval.sequences=0 "
                                      f"--data.tokenizer=words --data.vocabulary={words}/vocabulary\nx | 1 | 1 |\n")
    code, said = benchmarks(folder, "h", f"--data={texts}")
    check(code == 0, said)
    check(results(folder, "h")[0]["evaluation"]["sequences"] == 2 * (book_bytes // 1024), "whole pieces of the books to tell")
    vocabulary = (words / "vocabulary").read_text().split("\n")[:-1]
    wells, conrad = (re.findall("[a-z]+", (texts / f"books/{who}_train.txt").read_text(errors="replace").lower()) for who in ("wells", "conrad"))
    reviews = {"never", "in", "a", "tale", "train", "xylograph", "long"}
    check(vocabulary == ["?", *sorted(set(wells) & set(conrad) | reviews)], "words of two thirds of the novels, or of a review in fifty")
    made = sorted(str(path.relative_to(words / "pretrain")) for path in (words / "pretrain").rglob("*.txt"))
    check(made == ["train/conrad_train.txt", "train/train-1_7_1.txt", "train/train-2_7_1.txt", "train/wells_train.txt", "valid/conrad_none.txt",
                   "valid/wells_none.txt"], f"without a review that has no word: {made}")
    check((words / "pretrain/train/wells_train.txt").read_text().split() == [word if word in vocabulary else "?" for word in wells], "in their order")
    header, review = (words / "reviews_512/test.tsv").read_text().splitlines()
    check(header == "label\ttext" and review.startswith("1\tnever in a tale ? xylograph ? long long"), review)


def what_cannot_be_run_is_said(folder):
    for text, complaint in (
            ("x | 1 | nan |", "MINUTES above 0"), ("x | 1,1 | 1 |", "is there twice"), ("x | 1 | 1 | --run.threads=2", "sets itself"),
            ("x | 1 | 1 | picks", "is not an option"), ("x | 1 | 1 | --phi=0.5", "is not an option"), ("x | a | 1 |", "expected VARIANT"), ("x | 1 | 1 | '", "No closing quotation"),
            ("config = no.ini", "there is no"), ("config = a.ini\nconfig = a.ini", "is there twice"),
            ("prepare = data listops", "is not a command"), ("x | 1 | 1 | | --model.width=8", "no finetune_from"),
            ("trunk_steps = -1", "not a number"), ("trunk_seed = 1", "no finetune_from"),
            ("trunk_steps = 3\nfinetune_from = a.ini", "one of them only"),
            ("trunk_step = 3", "known: prepare, config"), ("x | 1 | 1 | --attention.pikcs=5", "did you mean"),
            ("x | 1 | 1 | --attention.picks=few", "picks = few"), ("x | 1 | 1 | --train.warmup_steps=9", "exceeds train.steps"), ("x | -1 | 1 |", "expected"), ("also_evaluate = --eval.drwa=dense\nx | 1 | 1 |", "did you mean"),
            ("x | 1 | 1 | --data.train={data}", "--data=FOLDER")):
        write(folder, d__ini=TINY, d__runs=text + "\n")
        code, said = benchmarks(folder, "d", "--data=/nowhere")
        said = said.replace("1 runs to do, about 0.0 hours\n", "")
        check(code == 1 and complaint in said and said.count("\n") == 1, f"{text!r}: {said}")
    write(folder, d__runs=f"prepare = words --output={folder}/nobody\nx | 1 | 1 |\n")
    code, said = benchmarks(folder, "d", f"--data={folder}")
    check(code == 1 and "cannot be prepared" in said and "manifest.tsv" in said and "Traceback" not in said, said)
    write(folder, d__runs="options = --data.train={data}/none\nx | 1 | 1 |\n")
    for arguments, complaint in ((["d", "--data=/nowhere"], "--data=FOLDER"), (["d", f"--data={folder}"], "failed:"), (["e"], "there is no e"),
                                 (["--jobs=0"], "--jobs=0"), (["d", "--only=y"], "has 'y' in its name"), (["--seeds=-1"], "--seeds=-1")):
        code, said = benchmarks(folder, *arguments)
        check(code == 1 and complaint in said and "Traceback" not in said, f"{arguments}: {said}")


def launched(folder, name, program=binary):
    """The benchmark NAME in a session of its own."""
    return subprocess.Popen(["bash", str(repository / "launch/benchmarks.sh"), name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=environment(folder, program), start_new_session=True)


def wait_for(holds, what):
    deadline = time.time() + 60
    while not holds():
        check(time.time() < deadline, f"waited for {what}")
        time.sleep(0.1)


def started(folder, name):
    """The same, as soon as a run of it trains."""
    shutil.rmtree(folder / "scratch" / name, ignore_errors=True)
    running = launched(folder, name)
    wait_for(lambda: list((folder / "scratch").glob(f"{name}/*/metrics.jsonl")), f"a run of {name}")
    return running


def a_stop_ends_it_quietly(folder):
    write(folder, f__ini=TINY, f__runs="long | 1,2 | 1 | --train.steps=100000\n")
    for stop in (lambda pid: os.killpg(pid, signal.SIGINT), lambda pid: os.kill(pid, signal.SIGTERM)):
        running = started(folder, "f")
        stop(running.pid)
        said = running.communicate(timeout=60)[0]
        check(running.returncode == 130 and "start it again" in said and "Traceback" not in said, said)
        check(not (folder / "results/f.jsonl").exists(), "no result of a run that was stopped")


def a_stop_before_the_first_run_does_too(folder):
    slow = folder / "slow"
    made = folder / "stopped/train"
    write(folder, p__ini=TINY, p__runs=f"prepare = data listops --output={made} --count=9 --min-tokens=10 --max-tokens=40\nx | 1 | 1 |\n")
    for command in ("plan", "data"):
        slow.write_text(f'#!/bin/sh\n[ $1 = {command} ] && touch {folder}/{command} && sleep 5\nexec {binary} "$@"\n')
        slow.chmod(0o755)
        running = launched(folder, "p", slow)
        wait_for(lambda: (folder / command).exists(), command)
        os.kill(running.pid, signal.SIGTERM)
        said = running.communicate(timeout=60)[0]
        check(running.returncode == 130 and "start it again" in said and "Traceback" not in said, f"{command}: {said}")
    check(not made.with_name("train.idx").exists(), "no program goes on")
    code, said = benchmarks(folder, "p")
    check(code == 0 and made.with_name("train.idx").exists(), f"it goes on where it was: {said}")


def launches_go_on_side_by_side(folder):
    write(folder, k__ini=TINY, k__runs="one | 1 | 1 | --train.steps=100000\n")
    first = started(folder, "k")
    write(folder, k__runs="one | 1 | 1 | --train.steps=100000\ntwo | 1 | 1 |\n")
    code, said = benchmarks(folder, "k")
    check(code == 0 and "one, seed 1: another launch is at it" in said, said)
    check([r["variant"] for r in results(folder, "k")] == ["two"], "the other run was made meanwhile")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    code, said = benchmarks(folder, "--only=one", "k")
    check("another launch is at it" in said, f"the program of a launch that was killed still writes: {said}")
    subprocess.run(["pkill", "-KILL", "-f", f"run.dir={folder}"], check=True)


def what_another_launch_made_is_not_made_again(folder):
    write(folder, q__ini=TINY, q__runs="one | 1 | 1 |\ntwo | 1 | 1 |\n")
    waits, begun, go = folder / "waits", folder / "begun", folder / "go"
    waits.write_text(f'#!/bin/sh\ncase "$*" in *q/one-1*) touch {begun}; while [ ! -e {go} ]; do sleep 0.1; done;; esac\nexec {binary} "$@"\n')
    waits.chmod(0o755)
    first = launched(folder, "q", waits)
    wait_for(begun.exists, "the first run")
    check(benchmarks(folder, "q")[0] == 0, "the second launch makes the other run")
    made = results(folder, "q")
    check([r["variant"] for r in made] == ["two"], made)
    go.touch()
    said = first.communicate(timeout=120)[0]
    check("two, seed 1: made meanwhile" in said, said)
    check([r for r in results(folder, "q") if r["variant"] == "two"] == made, "its result is left alone")


with tempfile.TemporaryDirectory() as name:
    the_lists_of_the_repository_are_read()
    for test in (runs_are_made_once_and_again_when_their_options_change, a_trunk_is_made_once_and_gone_on_from,
                 a_trained_model_is_fine_tuned, a_trunk_made_anew_is_told_where_it_differs, data_are_prepared_once,
                 texts_become_words_of_one_vocabulary, what_cannot_be_run_is_said,
                 a_stop_ends_it_quietly, a_stop_before_the_first_run_does_too, launches_go_on_side_by_side,
                 what_another_launch_made_is_not_made_again):
        test(pathlib.Path(name))
