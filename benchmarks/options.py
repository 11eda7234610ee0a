"""Types for the command-line options of the programs."""


def numbers(text):
    return tuple(int(word) for word in text.split(","))


def words(text):
    return tuple(text.split(","))
