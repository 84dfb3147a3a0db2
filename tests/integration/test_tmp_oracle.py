import time
from millpond.archive.keys import Layout
from millpond.cli.main import main
from millpond.storage.urls import open_store
from tests.oracle import *

def test_it(kafka, unique_name, tmp_path, capsys):
    t = unique_name("odd")
    b = kafka.bootstrap()
    make_topic(b, t, 3)
    t0 = time.monotonic()
    produce_odd_records(b, t, partitions=2)
    t1 = time.monotonic()
    print("produce", t1 - t0)
    (tmp_path/"a").mkdir()
    url = f"file://{tmp_path}/a"
    assert main(["backup", "--archive", url, "--brokers", b, "--topics", t, "--once"]) == 0
    t2 = time.monotonic()
    print("backup", t2 - t1)
    store, prefix = open_store(url)
    got = assert_backup_holds(store, Layout(prefix), b, t)
    print({n: len(r) for n, r in got.items()}, time.monotonic() - t2)
    print(read_folders(store, Layout(prefix), t, topic_id_of(b, t)))
