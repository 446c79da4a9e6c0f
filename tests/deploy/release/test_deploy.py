"""A deploy by the real gcloud: what it does, in which order, and that it does nothing twice."""

from world import id_of, make_bundle


def test_a_first_deploy_sets_everything_in_order(first_deploy, world, bundle):
    changes, done, _ = first_deploy
    for each in changes:
        print(each)
    print(done.text)
    assert 0


def test_an_unchanged_bundle_changes_nothing(deployed, bundle):
    import time
    folder = bundle()
    t = time.time()
    done = deployed.deploy(folder)
    print(done.text, deployed.changes(), time.time() - t)
    assert deployed.current == id_of(folder)
    print(deployed.run("status", "--bundle", folder).text)
    assert 0
