"""Types of the programs' options."""


def numbers(text):
    return tuple(int(word) for word in text.split(","))


def words(text):
    return tuple(text.split(","))
