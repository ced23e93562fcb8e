"""The embedded teacher's vocabulary."""

NAMES = (
    "Anna|Ben|Clara|David|Emma|Felix|Grace|Henry|Ida|Jack|Kate|Leo|Maria|Noah|Olga|Paul|"
    "Rosa|Sam|Tina|Victor|Wendy|Yusuf|Zoe|Amir|Bella|Carlos|Dina|Erik|Fatima|George"
).split("|")
ANIMALS = (
    "cat|dog|horse|cow|sheep|goat|pig|duck|goose|rabbit|mouse|lion|tiger|bear|wolf|fox|"
    "deer|elephant|monkey|camel|frog|snake|turtle|eagle|owl"
).split("|")
FOODS = (
    "apple|pear|banana|lemon|orange|plum|cherry|carrot|onion|potato|tomato|pepper|cake|"
    "cookie|sandwich|egg|bean|nut|melon|grape"
).split("|")
TOOLS = ("hammer|saw|spoon|knife|fork|brush|broom|needle|rope|ladder|shovel|bucket|lamp|clock|pencil").split("|")
THINGS = (
    "book|chair|table|box|bottle|letter|hat|coat|shoe|ring|bag|key|stamp|coin|candle|blanket|basket|mirror|window|door"
).split("|")
PLACES = (
    "market|park|school|library|station|garden|museum|beach|bakery|farm|harbour|bridge|hotel|"
    "theatre|office|kitchen|village|castle|forest|square"
).split("|")
DAYS = ("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday").split("|")
MONTHS = ("January|February|March|April|May|June|July|August|September|October|November|December").split("|")
COLOURS = ("red|blue|green|yellow|black|white|brown|grey|purple|pink").split("|")
HOBBIES = (
    "painting|swimming|cooking|reading|gardening|chess|hiking|fishing|dancing|singing|cycling|sewing|skiing|sailing"
).split("|")
PRAISE = (
    "The soup was wonderful|The staff were kind and quick|I loved every minute of it|"
    "It works perfectly|The room was clean and bright|Best cake I ever had|"
    "A great book from start to end"
).split("|")
COMPLAINTS = (
    "The soup was cold|The staff were rude and slow|I was bored the whole time|It broke after a day|"
    "The room was dirty and dark|Worst cake I ever had|A dull book from start to end"
).split("|")
ORDERS = (
    "Open the window|Close the door|Give me the salt|Wait a minute|Call me tomorrow|"
    "Send me the letter|Turn off the lamp|Bring the coffee|Sit down|Speak louder|Move the chair|"
    "Help my brother|Show me the way|Clean the table"
).split("|")
_OPPOSITES = (
    "hot cold|big small|fast slow|old new|light dark|happy sad|hard soft|high low|rich poor|"
    "strong weak|full empty|clean dirty|early late|loud quiet|long short|wet dry|thick thin|"
    "wide narrow|brave afraid|open closed|sweet sour|smooth rough|heavy light|young old|"
    "deep shallow|sharp blunt|near far|true false|cheap expensive|safe dangerous"
).split("|")
OPPOSITE_PAIRS = [(pair.split()[0], pair.split()[1]) for pair in _OPPOSITES]
ADJECTIVES = [first for first, _ in OPPOSITE_PAIRS[:16]]
_IRREGULAR_PLURALS_PAIRS = (
    "mouse mice|goose geese|child children|foot feet|tooth teeth|man men|woman women|leaf leaves|"
    "knife knives|wolf wolves|sheep sheep|fish fish|person people|potato potatoes|tomato tomatoes|"
    "box boxes|bus buses|city cities|story stories|baby babies|cherry cherries|glass glasses|"
    "dish dishes|half halves|shelf shelves|day days"
).split("|")
IRREGULAR_PLURALS = {pair.split()[0]: pair.split()[1] for pair in _IRREGULAR_PLURALS_PAIRS}
_PAST_PAIRS = (
    "go went|see saw|eat ate|drink drank|write wrote|run ran|swim swam|sing sang|buy bought|"
    "bring brought|think thought|find found|give gave|take took|make made|come came|know knew|"
    "sleep slept|speak spoke|break broke|drive drove|fly flew|grow grew|hold held|keep kept|"
    "leave left|lose lost|meet met|read read|sell sold|send sent|teach taught|walk walked|"
    "open opened|clean cleaned|paint painted|carry carried|cook cooked|watch watched|visit visited"
).split("|")
PAST = {pair.split()[0]: pair.split()[1] for pair in _PAST_PAIRS}
_CAPITALS = (
    "France,Paris,Europe|Spain,Madrid,Europe|Italy,Rome,Europe|Germany,Berlin,Europe|"
    "Portugal,Lisbon,Europe|Greece,Athens,Europe|Austria,Vienna,Europe|Poland,Warsaw,Europe|"
    "Norway,Oslo,Europe|Sweden,Stockholm,Europe|Finland,Helsinki,Europe|Ireland,Dublin,Europe|"
    "Hungary,Budapest,Europe|Japan,Tokyo,Asia|China,Beijing,Asia|India,New Delhi,Asia|"
    "Thailand,Bangkok,Asia|Vietnam,Hanoi,Asia|Nepal,Kathmandu,Asia|Iraq,Baghdad,Asia|"
    "Egypt,Cairo,Africa|Kenya,Nairobi,Africa|Morocco,Rabat,Africa|Ghana,Accra,Africa|"
    "Senegal,Dakar,Africa|Ethiopia,Addis Ababa,Africa|Canada,Ottawa,North America|"
    "Mexico,Mexico City,North America|Cuba,Havana,North America|Peru,Lima,South America|"
    "Chile,Santiago,South America|Brazil,Brasilia,South America|Argentina,Buenos Aires,South America|"
    "Colombia,Bogota,South America|Ecuador,Quito,South America"
).split("|")
CAPITALS = [tuple(row.split(",")) for row in _CAPITALS]  # country, capital, continent
SOUNDS = {
    "dog": "barks", "cat": "meows", "cow": "moos", "sheep": "bleats", "horse": "neighs", "duck": "quacks",
    "lion": "roars", "wolf": "howls", "frog": "croaks", "owl": "hoots", "pig": "grunts", "snake": "hisses",
}  # fmt: skip
UNITS = [
    ("hours", "minutes", 60), ("minutes", "seconds", 60), ("days", "hours", 24), ("weeks", "days", 7),
    ("years", "months", 12), ("kilometres", "metres", 1000), ("metres", "centimetres", 100),
    ("kilograms", "grams", 1000), ("dozens", "single pieces", 12), ("decades", "years", 10),
]  # fmt: skip
ADVICE = {
    "sleep better": "Go to bed at the same time every night and keep the bedroom dark and quiet.",
    "learn a new language": "Practise a little every day and speak with other people as often as you can.",
    "save money": "Write down what you spend and put a small amount aside every month.",
    "cook a simple soup": "Fry an onion, add vegetables and water, and let it boil slowly for half an hour.",
    "stay healthy in winter": "Eat fruit and vegetables, move every day, and wash your hands often.",
    "prepare for a test": "Start early, study in short blocks, and explain the subject to a friend.",
    "make new friends": "Join a club, smile, and ask people about the things they like.",
    "keep a room tidy": "Give every thing its own place and clean up for ten minutes each evening.",
    "care for a house plant": "Put it near a window, water it once a week, and turn it now and then.",
    "calm down before a speech": "Breathe slowly, drink some water, and begin with a sentence you know by heart.",
    "wake up early": "Go to bed earlier, put the alarm far away, and open the curtains at once.",
    "read more books": "Carry a book with you and read ten pages before you go to sleep.",
    "train a young dog": "Use short words, practise every day, and reward it when it does well.",
    "pack for a short trip": "Make a list, take clothes that go together, and leave some space in the bag.",
    "write a clear letter": "Say the main point first, use short sentences, and read it aloud at the end.",
    "start running": "Begin slowly, walk when you are tired, and run three times a week.",
    "get less screen time": "Put the phone in another room and plan something nice to do instead.",
    "grow tomatoes": "Plant them in a sunny place, give them water every day, and tie them to a stick.",
}
