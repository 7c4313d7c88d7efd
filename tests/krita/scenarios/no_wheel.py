"""The plugin's libraries are missing or not for this Krita: the docker says so."""


def scenario(t):
    document = t.new_doc(64, 64)
    docker = t.docker()
    yield 0.2
    t.data["cause"] = t.child("QLabel", "trouble_cause", docker).text()
    t.data["remedy"] = t.child("QLabel", "trouble_remedy", docker).text()
    t.data["size"] = document.width()
