"""Families of tasks that the embedded teacher can write, with answers that are computed, not guessed.

Each family takes a source of randomness and returns (instruction, input, output). `FAMILIES` groups them
by category.
"""

from collections.abc import Callable
from random import Random

from camelid.models.offline import words as w

TaskTexts = tuple[str, str, str]
TaskFamily = Callable[[Random], TaskTexts]


def plural(noun: str) -> str:
    """English plural of a noun of the vocabulary."""
    if noun in w.IRREGULAR_PLURALS:
        return w.IRREGULAR_PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun + "s"


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def past(verb: str) -> str:
    return w.PAST[verb]


# Arithmetic


def add(r: Random) -> TaskTexts:
    name, place = r.choice(w.NAMES), r.choice(w.PLACES)
    one, two = r.sample(w.FOODS, 2)
    x, y = r.randint(2, 30), r.randint(2, 30)
    question = r.choice(
        [
            f"{name} buys {x} {plural(one)} and {y} {plural(two)} at the {place}. How many pieces is that?",
            f"At the {place}, {name} counts {x} {plural(one)}, then {y} {plural(two)}. What is the total?",
            f"How many pieces do {x} {plural(one)} and {y} {plural(two)} from the {place} make for {name}?",
        ]
    )
    return question, "", f"{x} {plural(one)} and {y} {plural(two)} make {x + y} pieces."


def subtract(r: Random) -> TaskTexts:
    (one, two), thing = r.sample(w.NAMES, 2), plural(r.choice(w.THINGS))
    x = r.randint(10, 50)
    y = r.randint(1, x - 2)  # so that the rest is a plural
    question = r.choice(
        [
            f"{one} had {x} {thing} and gave {y} to {two}. How many are left?",
            f"After giving {two} {y} of {x} {thing}, what does {one} still have?",
            f"{one} owns {x} {thing} but lends {y} to {two}. Work out the rest.",
        ]
    )
    return question, "", f"{one} still has {x - y} {thing}."


def multiply(r: Random) -> TaskTexts:
    animal, food = plural(r.choice(w.ANIMALS)), plural(r.choice(w.FOODS))
    x, y = r.randint(2, 12), r.randint(2, 12)
    question = r.choice(
        [
            f"Each of {x} {animal} eats {y} {food}. How many {food} do they eat together?",
            f"If {x} {animal} get {y} {food} each, what number of {food} is needed?",
        ]
    )
    return question, "", f"{x} times {y} is {x * y}, so {x * y} {food} are eaten."


def compare(r: Random) -> TaskTexts:
    (one, two), thing = r.sample(w.NAMES, 2), plural(r.choice(w.THINGS + w.TOOLS))
    x, y = r.sample(range(2, 60), 2)
    more = one if x > y else two
    return f"{one} found {x} {thing}, while {two} found {y}. Who found more?", "", f"{more} found more {thing}."


# Words


def opposite(r: Random) -> TaskTexts:
    first, second = r.choice(w.OPPOSITE_PAIRS)
    thing = r.choice(w.THINGS)
    question = r.choice(
        [
            f'What is the opposite of "{first}"? Think of {a(thing)}.',
            f'Give a word that means the contrary of "{first}", as for {a(thing)}.',
            f"If {a(thing)} is not {first}, it may be the reverse. Which word says so?",
        ]
    )
    return question, "", f'The opposite of "{first}" is "{second}".'


def plurals(r: Random) -> TaskTexts:
    one, two = r.sample(sorted(w.IRREGULAR_PLURALS), 2)
    question = r.choice(
        [
            f'Write the plural of "{one}" and of "{two}".',
            f"What do we call more than one {one}, and more than one {two}?",
        ]
    )
    return question, "", f'The plural of "{one}" is "{plural(one)}", and of "{two}" it is "{plural(two)}".'


def past_tense(r: Random) -> TaskTexts:
    one, two = r.sample(sorted(w.PAST), 2)
    question = r.choice(
        [
            f'Put the verbs "{one}" and "{two}" into the past tense.',
            f"Today I {one} and {two}. Which past forms would I use for yesterday?",
        ]
    )
    return question, "", f'The past of "{one}" is "{past(one)}", and of "{two}" it is "{past(two)}".'


def alphabet(r: Random) -> TaskTexts:
    group, label = r.choice([(w.ANIMALS, "animals"), (w.FOODS, "foods"), (w.THINGS, "things"), (w.NAMES, "names")])
    items = r.sample(group, 4)
    question = r.choice(
        [
            f"Sort these {label} alphabetically: {', '.join(items)}.",
            f"Put {', '.join(items[:3])} and {items[3]} in the order of the alphabet.",
        ]
    )
    return question, "", ", ".join(sorted(items))


def letters(r: Random) -> TaskTexts:
    word = r.choice(w.ANIMALS + w.FOODS + w.THINGS + w.TOOLS + w.PLACES)
    name = r.choice(w.NAMES)
    question = r.choice(
        [
            f'How many letters are in "{word}"? {name} wants to know.',
            f'Help {name} count the letters of the word "{word}".',
        ]
    )
    return question, "", f'The word "{word}" has {len(word)} letters.'


# Classification


def sentiment(r: Random) -> TaskTexts:
    good = r.random() < 0.5
    text, place = r.choice(w.PRAISE if good else w.COMPLAINTS), r.choice(w.PLACES)
    name = r.choice(w.NAMES)
    instruction = r.choice(
        [
            f"Is what {name} wrote about the {place} positive or negative?",
            f"Decide the mood of this note by {name} from the {place}: positive or negative.",
            f"Classify {name}'s opinion of the {place} as positive or negative.",
        ]
    )
    return instruction, f"{text}.", f"The opinion is {'positive' if good else 'negative'}."


def kind(r: Random) -> TaskTexts:
    group, label = r.choice([(w.ANIMALS, "an animal"), (w.FOODS, "a food"), (w.TOOLS, "a tool")])
    word = r.choice(group)
    question = r.choice(
        [
            f"Is {a(word)} an animal, a food or a tool?",
            f"Which of these is {a(word)}: animal, food or tool?",
            f"Say whether you would eat, use or feed {a(word)}, and name its class.",
        ]
    )
    return question, "", f"{a(word).capitalize()} is {label}."


def odd_even(r: Random) -> TaskTexts:
    x, y = r.sample(range(10, 999), 2)
    name = r.choice(w.NAMES)
    question = r.choice(
        [
            f"{name} picks the numbers {x} and {y}. Are they odd or even?",
            f"Tell {name} for {x} and for {y} whether it is odd or even.",
        ]
    )
    kinds = ["odd" if number % 2 else "even" for number in (x, y)]
    return question, "", f"{x} is {kinds[0]}, and {y} is {kinds[1]}."


def odd_one_out(r: Random) -> TaskTexts:
    (group, label), (others, _) = r.sample([(w.ANIMALS, "animals"), (w.FOODS, "foods"), (w.COLOURS, "colours")], 2)
    items = r.sample(group, 3)
    stranger = r.choice([word for word in others if word not in group])
    mixed = [*items, stranger]
    r.shuffle(mixed)
    question = f"Which does not belong with the others: {', '.join(mixed)}?"
    return question, "", f'"{stranger}" does not belong, because the others are {label}.'


# Rewriting


def capitals(r: Random) -> TaskTexts:
    phrase = f"{r.choice(w.ADJECTIVES)} {r.choice(w.COLOURS)} {r.choice(w.THINGS)}"
    name = r.choice(w.NAMES)
    instruction = r.choice(
        [
            f'Write "the {phrase}" in capital letters.',
            f'{name} wants a sign in capitals that says "the {phrase}".',
        ]
    )
    return instruction, "", f"THE {phrase.upper()}"


def polite(r: Random) -> TaskTexts:
    order, name = r.choice(w.ORDERS), r.choice(w.NAMES)
    instruction = r.choice(
        [
            f'Make the order "{order}!" polite.',
            f'{name} says: "{order}!" Turn it into a polite question.',
            f'How would {name} ask nicely instead of shouting "{order}"?',
        ]
    )
    return instruction, "", f"Could you please {order[0].lower()}{order[1:]}?"


def to_past(r: Random) -> TaskTexts:
    name, place = r.choice(w.NAMES), r.choice(w.PLACES)
    verb, thing = r.choice(["open", "clean", "paint", "find", "see", "sell", "leave", "visit"]), r.choice(w.PLACES)
    instruction = r.choice(
        [
            f"Rewrite the sentence about {name} and the {place} in the past tense.",
            f"Change this to the past, as if {name} had left the {place} long ago.",
            f"Say the same of {name} near the {place}, but as something that happened yesterday.",
        ]
    )
    return instruction, f"They {verb} the {thing}.", f"They {past(verb)} the {thing}."


def negate(r: Random) -> TaskTexts:
    name, thing, colour = r.choice(w.NAMES), r.choice(w.THINGS + w.TOOLS), r.choice(w.COLOURS)
    verb = r.choice(["see", "carry", "buy", "find", "clean", "sell"])
    instruction = r.choice(
        [
            f'Make this negative: "{name} can {verb} the {colour} {thing}."',
            f'Deny that "{name} can {verb} the {colour} {thing}".',
        ]
    )
    return instruction, "", f"{name} cannot {verb} the {colour} {thing}."


# Extraction


def who(r: Random) -> TaskTexts:
    (one, two), place, day = r.sample(w.NAMES, 2), r.choice(w.PLACES), r.choice(w.DAYS)
    text = f"On {day} {one} met {two} at the {place}."
    asked, answer = r.choice(
        [
            (f"Where did {one} meet {two}?", f"They met at the {place}."),
            (f"Whom did {one} meet at the {place}?", f"{one} met {two}."),
            (f"On which day were {one} and {two} together?", f"They met on {day}."),
        ]
    )
    return asked, text, answer


def find_colour(r: Random) -> TaskTexts:
    name, thing, colour = r.choice(w.NAMES), r.choice(w.THINGS), r.choice(w.COLOURS)
    place = r.choice(w.PLACES)
    instruction = r.choice(
        [
            f"What colour is the {thing} that {name} left behind?",
            f"Find the colour of {name}'s {thing} in the text.",
        ]
    )
    return instruction, f"{name} left a {colour} {thing} in the {place}.", f"The {thing} is {colour}."


def find_number(r: Random) -> TaskTexts:
    name, animal, number = r.choice(w.NAMES), plural(r.choice(w.ANIMALS)), r.randint(2, 90)
    place = r.choice(w.PLACES)
    instruction = r.choice(
        [
            f"How many {animal} does {name} keep, according to the text?",
            f"Read the note and give the number of {animal} near the {place}.",
        ]
    )
    return instruction, f"{name} keeps {number} {animal} near the {place}.", f"There are {number} {animal}."


# Facts


def capital_city(r: Random) -> TaskTexts:
    country, city, continent = r.choice(w.CAPITALS)
    return r.choice(
        [
            (f"What is the capital of {country}?", "", f"The capital of {country} is {city}."),
            (f"In which part of the world is {country}?", "", f"{country} is in {continent}."),
            (f"{city} is the capital of which country?", "", f"{city} is the capital of {country}."),
        ]
    )


def convert(r: Random) -> TaskTexts:
    large, small, factor = r.choice(w.UNITS)
    count = r.randint(2, 12)
    question = r.choice([f"How many {small} are in {count} {large}?", f"Convert {count} {large} to {small}, please."])
    return question, "", f"{count} {large} are {count * factor} {small}."


def calendar(r: Random) -> TaskTexts:
    names, label = r.choice([(w.DAYS, "day"), (w.MONTHS, "month")])
    index = r.randrange(len(names))
    name = r.choice(w.NAMES)
    after = names[(index + 1) % len(names)]
    question = r.choice(
        [
            f"Which {label} comes right after {names[index]}?",
            f"{name} asks what {label} follows {names[index]}. Answer in a sentence.",
        ]
    )
    return question, "", f"{after} comes after {names[index]}."


def sound(r: Random) -> TaskTexts:
    animal, place = r.choice(sorted(w.SOUNDS)), r.choice(w.PLACES)
    question = r.choice(
        [
            f"What sound does {a(animal)} make at the {place}?",
            f"{r.choice(w.NAMES)} hears {a(animal)} near the {place}. What does it do?",
        ]
    )
    return question, "", f"{a(animal).capitalize()} {w.SOUNDS[animal]}."


# Advice


def advice(r: Random) -> TaskTexts:
    goal = r.choice(sorted(w.ADVICE))
    name, person = r.choice(w.NAMES), r.choice(["friend", "neighbour", "cousin", "teacher", "colleague"])
    question = r.choice(
        [
            f"How can I {goal}?",
            f"My {person} {name} wants to {goal}. What should I say?",
            f"Give {name} some short advice on how to {goal}.",
            f"What would help {a(person)} who tries to {goal}?",
            f"{name} asks for a tip: how does one {goal}?",
        ]
    )
    return question, "", w.ADVICE[goal]


# Writing


def thanks(r: Random) -> TaskTexts:
    (one, two), thing, colour = r.sample(w.NAMES, 2), r.choice(w.THINGS), r.choice(w.COLOURS)
    instruction = r.choice(
        [
            f"Write a thank-you note from {one} to {two} for the {colour} {thing}.",
            f"{two} gave {one} a {colour} {thing}. Thank {two} in a short note.",
        ]
    )
    return instruction, "", f"Dear {two}, thank you very much for the {colour} {thing}. I like it a lot. Yours, {one}"


def invite(r: Random) -> TaskTexts:
    (one, two), place, day = r.sample(w.NAMES, 2), r.choice(w.PLACES), r.choice(w.DAYS)
    instruction = r.choice(
        [
            f"Invite {two} to the {place} on {day}, in the name of {one}.",
            f"{one} would like to see {two} at the {place} this {day}. Write the message.",
        ]
    )
    return (
        instruction,
        "",
        f"Dear {two}, would you like to come to the {place} on {day}? I hope to see you. Yours, {one}",
    )


def story(r: Random) -> TaskTexts:
    animal, thing, place = r.choice(w.ANIMALS), r.choice(w.THINGS), r.choice(w.PLACES)
    mood = r.choice(w.ADJECTIVES)
    instruction = r.choice(
        [
            f"Tell a tiny story about {a(animal)}, {a(thing)} and the {place}.",
            f"Write two sentences in which {a(animal)} finds {a(thing)} in the {place}.",
        ]
    )
    text = (
        f"Once {a(animal)} walked through the {place} and found {a(thing)}. It was {mood}, and the {animal} was glad."
    )
    return instruction, f"Use the word {mood}.", text


def greeting(r: Random) -> TaskTexts:
    name, hobby = r.choice(w.NAMES), r.choice(w.HOBBIES)
    instruction = r.choice(
        [
            f"Write a birthday wish for {name}, who loves {hobby}.",
            f"{name} likes {hobby} and turns a year older today. Congratulate {name}.",
        ]
    )
    return instruction, "", f"Happy birthday, {name}! I wish you a year full of joy and {hobby}."


FAMILIES: dict[str, tuple[TaskFamily, ...]] = {
    "arithmetic": (add, subtract, multiply, compare),
    "words": (opposite, plurals, past_tense, alphabet, letters),
    "classification": (sentiment, kind, odd_even, odd_one_out),
    "rewriting": (capitals, polite, to_past, negate),
    "extraction": (who, find_colour, find_number),
    "facts": (capital_city, convert, calendar, sound),
    "advice": (advice,),
    "writing": (thanks, invite, story, greeting),
}
