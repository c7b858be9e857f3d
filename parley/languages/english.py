"""English."""

import re
from collections.abc import Iterator

from parley.languages.english_numbers import cardinal, ordinal
from parley.languages.language import Language, pairs, phrases, words

FUNCTION_WORDS = words(
    """
    a an the this that these those i me my mine myself we us our ours ourselves you your yours yourself yourselves
    he him his himself she her hers herself it its itself they them their theirs themselves am is are was were be
    been being do does did doing done have has had having can could will would shall should may might must ought
    and or but nor so if then than as because while until although though of at by for with about against between
    into through during before after above below to from up down in out on off over under again further here there
    when where why how what which who whom whose all any both each few more most other some such no not only own
    same too very just also s t d ll m re ve don doesn didn isn aren wasn weren hasn haven hadn won wouldn shouldn
    couldn ain tell know want need like let get got please thank thanks hello hi hey okay ok um uh er oh yes yeah
    well really actually maybe something anything someone anyone much many
    """
)
"""Function words, and the words that callers put around a question: as stems they tell passages of one subject from
those of another no better than chance."""

COMMON_WORDS = words(
    """
    good great nice big small new old long short right left wrong live lives life day days night time times year years
    week weeks month months people person man woman men women child children son thing things way place home house work
    part party parts number name line side end kind hand case point world country state states water food money real
    sure true false free full open close closed early earlier late later latter last next first second third best
    better bad worse high low young different possible able said say says saying think thought mean means meant see
    seen seem look looking come coming came go going gone went make made making take taken took give given gave find
    found ask asked asking use used using put keep kept begin begun start started show play run move movie mile once
    twice read ready write believe hold bring happen sit stand lose lost pay paid meet set learn change lead leave
    understand watch follow stop speak allow add spend walk win offer remember love buy wait send expect build stay
    fall cut reach call called calling help try tried trying talk turn feel felt hear heard quick quickly count border
    save hide beyond behind data date notes note deal custom island manage since today tomorrow yesterday
    """
)
"""Words so frequent that a recogniser has heard them right: "good" is never taken for the "guide" of a base."""

LETTERS = {
    **{letter: letter for letter in "abcdefghijklmnopqrstuvwxyz"},
    **pairs(
        """
        ay=a bee=b be=b see=c sea=c cee=c dee=d ee=e eff=f ef=f gee=g aitch=h eye=i jay=j kay=k el=l ell=l em=m emm=m
        en=n enn=n oh=o pee=p pea=p queue=q cue=q ar=r are=r ess=s es=s tee=t tea=t you=u vee=v ex=x why=y zee=z zed=z
        alpha=a alfa=a bravo=b charlie=c delta=d echo=e foxtrot=f golf=g hotel=h india=i juliet=j juliett=j kilo=k
        lima=l mike=m november=n oscar=o papa=p quebec=q romeo=r sierra=s tango=t uniform=u victor=v whiskey=w xray=x
        yankee=y zulu=z
        """
    ),
}

_SOUNDS = [
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"^(?:kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"^wh", "w"),
        (r"^x", "s"),
        (r"igh", "i"),
        (r"gh(?=[^aeiouy]|$)", ""),
        (r"ph", "f"),
        (r"^sio|^si?ea", "Si"),
        (r"bh|mh", "v"),
        (r"aoi", "i"),
        (r"sch|sh|[st]i(?=[ao])", "S"),
        (r"tch|ch", "C"),
        (r"th", "T"),
        (r"ck|cq", "k"),
        (r"c(?=[eiy])|z", "s"),
        (r"dg(?=[eiy])|g(?=[eiy])|j", "J"),
        (r"c|q", "k"),
        (r"x", "ks"),
        (r"(?<=.)[aeo]r$", ""),
        (r"sui|sue", "swi"),
        (r"(?<=.)h", ""),
        (r"ee|ea|ie|y", "i"),
        (r"oo|ou|ew", "u"),
        (r"a[uw]", "o"),
        (r"a[iy]|e[iy]", "E"),
    )
]
_DOUBLE = re.compile(r"(.)\1+")


def sound(word: str) -> str:
    """Return how a word sounds: its consonants and its first vowel. "gym" and "jim" are both "Jim"."""
    for pattern, replacement in _SOUNDS:
        word = pattern.sub(replacement, word)
    word = _DOUBLE.sub(r"\1", word)
    first = next((at for at, letter in enumerate(word) if letter in "aeiouE"), len(word))
    head = word[: first + 1]
    return head + "".join(letter for letter in word[first + 1 :] if letter not in "aeiou")


def spellings(number: int) -> Iterator[tuple[str, str]]:
    """Yield all ways to say a number from 0 to 999, and how each is written: 164 is also "a hundred and sixty four"."""
    digits = str(number)
    yield cardinal(number), digits
    if number == 0:
        yield from (("oh", "0"), ("o", "0"), ("nought", "0"))
    elif number < 100:
        ending = "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        yield ordinal(number), digits + ending
    hundreds, rest = divmod(number, 100)
    for head in (f"{cardinal(hundreds)} hundred", *(("a hundred", "hundred") if hundreds == 1 else ())):
        if hundreds:
            yield from (
                ((f"{head} {cardinal(rest)}", digits), (f"{head} and {cardinal(rest)}", digits))
                if rest
                else ((head, digits),)
            )


SMALL_TALK_EXAMPLES = (
    "hello good morning",
    "how are you doing today",
    "thank you very much, you have been very helpful",
    "I really appreciate your help",
    "that was all, goodbye",
    "have a nice day",
    "great, that sounds wonderful",
    "okay, I understand",
    "never mind, forget it",
    "wait a moment, I have to get something",
    "hold on, let me find a pen",
    "can you hear me",
    "I can't hear you, the connection is bad",
    "can you repeat what you just said",
    "what did you say",
    "I did not understand you",
    "please speak more slowly",
    "you are talking too fast",
    "are you a robot or a human being",
    "what is your name",
    "hello, this is Peter speaking",
    "hello, is somebody there",
    "sorry, you are breaking up, the line was cut",
    "that is not what I meant",
    "you are not helping me",
    "tell me a joke",
    "sorry, I was talking to somebody else",
    "sorry for the noise, my dog is barking",
    "I will think about it and call back later",
    "hi, how is it going",
    "good to hear your voice",
    "it was nice talking to you",
    "that was really helpful, thanks",
    "you have helped me a lot",
    "that will be everything for today",
    "I don't need anything else, we are good",
    "I have to go now, bye",
    "take care, all the best to you",
    "that is fantastic, I am happy",
    "oh that is a pity, too bad",
    "wow, amazing, really",
    "don't bother, it doesn't matter any more",
    "let me grab something to write with",
    "I am writing it down right now",
    "just a moment, there is somebody at the door",
    "sorry, I lost you for a second",
    "let me ask my husband first",
    "I need to discuss it with my family",
    "I need more time to think",
    "I will ring you again tomorrow",
    "I didn't hear a word of that",
    "what was the last thing you said",
    "could you go over that one more time",
    "could you explain that again in simple words",
    "you are not listening to me",
    "that is not what I said",
    "you got me wrong",
    "stop talking and let me finish",
    "you are stupid and useless",
    "are you a real woman or a computer voice",
    "is this a recorded voice",
    "do you have feelings, do you sleep",
    "who made you, who programmed you",
    "you have a nice voice, you are sweet",
    "can you sing a song for me",
    "sorry, I sneezed, I have a cold",
    "bless you",
    "I don't know what to say",
    "no thanks, not right now",
    "yes, go on",
)
"""Turns that ask nothing of a knowledge base: what an encoder finds near them is small talk, in whatever language."""

ENGLISH = Language(
    code="en",
    name="English",
    stemmer="english",
    function_words=FUNCTION_WORDS,
    spellings=spellings,
    thousand="thousand",
    repeats={"double": 2, "triple": 3},
    joiners=words(
        "and point dot dash hyphen slash comma dollar dollars euro euros pound pounds cent cents pence capital letter"
    ),
    letters=LETTERS,
    sound=sound,
    common_words=COMMON_WORDS,
    small_talk=phrases(
        """
        [is there/would you like/do you need/can i help you with/] anything else [i can help you with/i can do for
        you/today/for you/you need/you would like to know/you'd like to know/], what else can i [do for you/help you
        with] [today/], how [can/may] i help [you/] [today/], do you have any [other/more/further/] questions, hello,
        hello there, hi, hi there, hey, hey there, hiya, heya, [good morning/good afternoon/good evening/good day/good
        night] [to you/], morning, evening, greetings, howdy, how are you [doing/] [today/this morning/this evening/]
        [then/], how's [it going/everything/your day/your day going/life], how are things, how are you, how are you
        doing, how are you today, how is it going, how's it going, how do you do, what's up, i am fine, i'm fine, i'm
        good, i am good, fine, fine thanks, nice to meet you, nice talking to you, pleasure, [thanks/thank you/many
        thanks] [so much/very much/a lot/again/a bunch/kindly/] [for your help/for the help/for your time/for all your
        help/for everything/for the info/for the information/for your patience/for helping/for helping me/for letting
        me know/for telling me/], thanks, thank you, thank you so much, thank you very much, thanks a lot, thanks so
        much, many thanks, cheers, ta, very much, hold the line [please/], enjoy your [day/evening/weekend/night], for
        your help today, [you/you've/you have] answered [my/all my] [question/questions], that [answers/answered]
        [everything/that/my question/my questions], that [really/] helped [a lot/me/], [hello/] anyone there,
        [wait/hold on/just/] a [second/moment/minute] i need to [find/get/fetch] a [pen/pencil], give me a
        [second/moment/minute] to [write this down/write that down/think/think about it], let me [just/] check with my
        [wife/husband/partner/boss/colleague/family], [could/can] you repeat the last [part/bit/thing/sentence]
        [please/], [you're/you are] [talking/speaking] [way/] too [fast/quickly/quietly/slowly] [for me/], much
        appreciated, i appreciate it, i appreciate your help, thanks for your help, thank you for your help, for your
        help, for the help, for the information, for the info, for your time, you have been very helpful, you've been
        very helpful, you've been helpful, that helps, that helped, that's helpful, that was helpful, very helpful,
        [okay/alright/] [bye/goodbye] [now/then/for now/], have a [nice/good/great/lovely/wonderful]
        [day/one/evening/afternoon/weekend/night/rest of your day/time], bye, bye bye, goodbye, good bye, see you, see
        you later, see you soon, take care, have a nice day, have a good day, have a good one, have a great day, you
        too, same to you, [talk/speak] [to you/] [later/soon], catch you later, until next time, ciao, [i think/i
        guess/i believe/so/] [that's/that was/that is/this is/that will be/that'll be/that would be]
        [all/it/everything] [for now/for today/then/i needed/i wanted/i wanted to know/i needed to know/from
        me/really/thanks/], [i/] [have/have got/got] [everything/all] i [need/needed], no [more/further/other]
        questions [from me/], i [don't/do not] have any [more/other/further] questions, i have no [more/other/further]
        questions, i have to [go/run], i need to go, i've got to go, gotta go, i'm going to go, i'll let you go, i'll
        leave it at that, let's leave it at that that will be all, that'll be all, nothing else, nothing more, no more
        questions, no further questions, i have no more questions, i am done, i'm done, all good, all set, i'm all
        set, we're done, that's everything, that is everything, that would be all, for now, for today, never mind,
        nevermind, forget it, forget about it, it doesn't matter, doesn't matter, no worries, no problem, not a
        problem, don't worry, you're welcome, you are welcome, no need, not needed, leave it, great, perfect,
        excellent, wonderful, awesome, amazing, fantastic, lovely, brilliant, super, cool, nice, good, very good, very
        nice, sounds good, sounds great, [that's/that is/this is/that was/it's/it is]
        [really/very/so/too/absolutely/just/all/]
        [great/good/fine/nice/perfect/brilliant/wonderful/lovely/excellent/fantastic/amazing/awesome/cool/super/kind/helpful/bad/sad/a
        shame/a pity/annoying/ridiculous/stupid/a waste of time/funny/interesting/right/okay/clear], all right,
        alright, right, okay, ok, okay then, fair enough, got it, i got it, i see, understood, i understand, makes
        sense, that makes sense, gotcha, noted, exactly, absolutely, of course, sure, really, oh really, interesting,
        wow, oh, ah, aha, hm, hmm, mm, mhm, mm hmm, uh huh, um, uh, er, well, so, oops, yeah, yes, yep, yup, correct,
        that's right, that is right, that's correct, indeed, true, i know, i think so, i guess, you know, [can
        you/could you/please/just/] [wait/hold on/hang on/give me] [just/] [a/one] [second/sec/minute/moment/moment
        please/second please/minute please], wait, wait a second, wait a minute, wait a moment, one moment, one
        second, one sec, just a moment, just a second, just a sec, just a minute, a moment, hold on, hang on, hold on
        a second, hang on a second, give me a second, give me a moment, give me a minute, a second, let me think, let
        me see, let me check, i'm thinking, please wait, please hold, i'll be right back, bear with me, one moment
        please, [can/do] you [still/] hear me [now/okay/alright/], are you [still/] [there/on the line], [hello/] is
        [anybody/anyone/someone] [still/] there, you [still/] there, still there, [i can't/i cannot/i can't really/i
        can hardly/i can barely/i can] hear you [very well/well/properly/], you're breaking up, you are breaking up,
        the connection is bad, the line is [really/very/so/] [bad/terrible/awful/poor], testing, test, testing one two
        three, [can/could/would/will] you [please/] [repeat/say/tell me] [that/it/this/] [again/once more/once
        again/one more time/another time/for me/] [please/], [can/could] i hear [that/it] [again/once more/one more
        time] [please/], [can/could] you [please/] repeat what you [just/] said, [please/] [repeat/say] [that/it/]
        [again/once more/one more time/] [please/], come again [please/], [once/one time] [more/again], one more time
        [please/], again [please/], pardon [me/], excuse me, [i'm/i am/] [so/] sorry, what, sorry what, huh, what did
        you [just/] say, what was that [again/], what do you mean [by that/], [i/] [did not/didn't/don't/do
        not/couldn't/could not/can't] [quite/really/] [understand/get/catch/hear/follow] [that/it/you/what you said/a
        word/the last part/], [i/] missed that, [i/] missed [that/what you said/the last part], you lost me, i'm
        confused, i am confused, [can/could/would] you [please/] [speak/talk/say that/say it/go] [a bit/a little/a
        little bit/more/] [up/louder/slower/slowly/more slowly/more clearly/clearer] [please/], [can/could/would] you
        [please/] slow down [a bit/a little/] [please/], slow down [please/], [please/] [speak/talk]
        [up/louder/slower/slowly/more slowly/a bit slower/a bit louder] [please/], not so fast [please/], [a bit/a
        little/] [louder/slower] [please/], more slowly [please/], too fast, that was too fast, you're too fast, too
        quiet, are you [a/an/] [real/actual/] [robot/human/human
        being/person/machine/ai/bot/computer/recording/computer voice/voice assistant/real/artificial/automated], [am
        i/i am/are we] [talking/speaking/chatting] [to/with] [a/an/] [real/actual/live/] [robot/human/human
        being/person/machine/ai/bot/computer/recording/agent], is [this/that/it] [a/an/] [real/actual/live/]
        [robot/human/human being/person/machine/ai/bot/computer/recording/automated system/automated], is
        [this/that/it] [a/an/] [real/] [person/human/robot/machine/bot] i'm [talking/speaking] [to/with], thanks a
        [million/bunch/ton], you sound [like a robot/human/very human/nice/real/funny/strange/weird/sad/tired/bored],
        who are you, who is this, who am i speaking to, who am i talking to, what is your name, what's your name, what
        are you, what can you do, tell me a joke, i love you, very funny, stupid, [you're/you are]
        [so/very/really/just/not/not very/no/the/a/an/]
        [funny/stupid/useless/helpful/help/worst/best/idiot/dumb/annoying/rude/sweet/nice/kind/great/good/clever/smart/wonderful/star/angel/lifesaver],
        you're not helping [me/], you are not helping [me/], shut up, stop, stop it, stop talking, be quiet, quiet,
        enough, that's enough, let me speak, let me finish, listen, you're kind, you are very kind, that's very kind,
        how kind, that is very kind, how nice, that's kind of you, please, anyway, anyways, whatever, actually, by the
        way, [i see/i'm confused/okay] now, who am i [speaking/talking] to here, [you're/you are] not making [any/]
        sense, [that's/that is/that was/that's/that wasn't] not what i [asked/said/meant], that wasn't [my
        question/what i asked/what i said/what i meant], [please/] stop interrupting [me/], are you [even/] listening
        [to me/], let me [just/] think for a [second/moment/minute], i'm just looking, just looking, not now, maybe
        later, later, [i have/] no [idea/clue], [i'm/i am] not [so/really/quite/] sure [about that/yet/], i don't
        know, how old are you, where [do you live/are you from/do you come from], can you [sing/dance/laugh/sing a
        song/sing for me], sing a song, let me [get/grab/find/fetch/go get] [a/my/some] [pen/pencil/paper/piece of
        paper/glasses/notebook], [i'm/i am] [just/] writing [this/that/it] down, let me write [this/that/it] down,
        [i/i've] wrote that down, i was [just/] [talking/speaking] to [someone/somebody/my]
        [else/wife/husband/son/daughter/kid/kids/partner/friend/colleague/boss/mother/mum/mom/father/dad/dog], it's
        [just/only/] me [again/], let me think about it, i'll think about it, i will think about it, i have to think
        about it, i'll call back, i will call back, i'll call again, i'll call you back, sir, madam, miss, dear, mate,
        my friend, there, then, too, again
        """
    ),
    assents=phrases(
        """
        [oh/] [yes/yeah/okay/sure/please/yes please] [thank you/thanks/thanks a lot/thank you very much], yes, yeah,
        yep, yup, yes please, please, please do, sure, of course, okay, ok, go ahead, absolutely, definitely,
        certainly, by all means, why not, gladly, i would, i'd like that, i would like that, i'd love that, i would
        love to, yes i would, yes i do, i do, do that, do it, do so, let's do that, let's do it, that would be nice,
        that would be great, that would be good, that would be lovely, that would be helpful, that would help,
        that'd be nice, that'd be great, that sounds good, that sounds great, sounds good, sounds great, sounds
        perfect, tell me, tell me more, tell me about it, tell me that, i'm interested, i am interested, good idea,
        great idea, yes tell me, let's hear it, let me hear it, mhm, mm hmm, uh huh, right, alright, all right,
        fine, exactly, that one, this one, both, both of them, both please, all of them, any, either, either one, i
        want that, i'll take that, i'll take it, i want to know that, i'd like to know, i would like to know, i want
        to hear that, i'd like to hear that, i would like to hear it, yes that, that please, the former, the latter,
        the first, the first one, first one, first, number one, option one, the second, the second one, second one,
        second, number two, option two, the third, the third one, third one, number three, option three, the last,
        the last one, last one
        """
    ),
    refusals=phrases(
        """
        bye, goodbye, no, nope, nah, no thanks, no thank you, not really, not necessary, not needed, i don't think
        so, i do not think so, not today, i'm good, i am good, i'm fine, rather not, i'd rather not, no need, not at
        all, neither, none of them
        """
    ),
    picks={
        **dict.fromkeys(("first", "former"), 0),
        **dict.fromkeys(("second", "latter"), 1),
        "third": 2,
        "last": -1,
    },
    waiting_messages=(
        "Let me look that up for you.",
        "One moment, I am checking.",
        "Good question, let me see.",
    ),
    not_found="I am sorry, I have no information about that.",
    may_help="This may help:",
    at_your_service="I am here if you have a question.",
    refers_back=words(
        """
        it its it's they their them he his she her this that these those both then otherwise also but
        and so such after during
        """
    ),
    asks_figure=phrases(
        """
        how much, how many, how long, how old, how far, how often, how high, how deep, how big, how
        late, how soon, when, what time, what number, price, cost, costs, fee
        """
    ),
)
