"""English verbs, to see where a clause begins: "loves cheese and barks at the mailman", not "loves cats and dogs"."""

from __future__ import annotations

import re

from rapbot.inference.vocabulary import words

_IRREGULAR = words(
    "is are was were has have had can cannot can't does doesn't did didn't will won't must should would may goes"
    " lost broke won gave brought got ran came went began grew knew spoke wrote drove rode took ate drank sang swam"
    " became forgot belonged lived worked moved loved liked wanted played studied travelled traveled stayed started"
    " stopped learned married retired hatched arrived joined cost"
    " died escaped graduated emigrated disappeared survived served isn't aren't wasn't weren't hasn't haven't couldn't"
    " shouldn't wouldn't cant doesnt isnt wont didnt could might ought shall"
    " stood fell hid chose drew fought froze rang shook slept sat slid stole struck swore tore threw woke said"
)
BASE = words(
    "abandon accept achieve acquire act adapt add adjust admire admit adore advise afford agree allow amble amuse"
    " announce annoy answer apologise apologize appeal appear apply appreciate approach approve argue arrange arrive"
    " ask assemble assist assume assure astonish attack attend attract avoid bake bark bathe bear beckon beg behave"
    " belong benefit bite blame bless blink bloom blow blush boast boil borrow bounce brag break breathe bring"
    " broadcast brood brush build bully burn bury bustle buy calculate call calm camp carry catch cater cease celebrate"
    " challenge change chase chat check cheer chew chirp choose chuckle claim clap clean clear climb cling close coach"
    " coax coil collapse collect collide combine come comfort communicate commute compare compete complain complete"
    " compose conceal concentrate conduct confess confirm confuse congratulate connect conquer consider consist"
    " consult contain continue control converse convince cook cope copy cost cough count cover cower crack crave crawl"
    " creak create creep crochet crouch crumble crunch cry cuddle curtsy cut cycle dance dare dart dash date dawdle"
    " daydream dazzle deal decide declare decline decorate decrease dedicate defeat defend delay delight deliver"
    " demand depart depend describe deserve desire despise destroy detach detect determine detest develop devote"
    " devour differ dig digest disagree disappear disapprove discourage discover discuss disguise disgust dislike"
    " dismantle dispose distract distribute disturb dive divide donate doze drag drain draw dread dream dress dribble"
    " drift drink drip drive drool drop drown dry dwell dye earn ease eat eavesdrop educate emerge emit employ empty"
    " enchant encourage end endure engage engrave enjoy enlarge enrol enter entertain envy erupt escape establish"
    " estimate evolve exaggerate examine exceed excel excite exercise exhaust exhibit exist expand expect explain"
    " explode explore express extend face fade faint fall fancy fascinate fasten favor favour fear feed feel fetch"
    " fight fill find finish fit fix flap flatter flee flicker flinch fling flirt float flop flourish flow flush fly"
    " fold follow forage forbid force forget forgive freak freeze frighten fry fumble fuss gain gallop gamble garden"
    " gasp gather gaze get giggle give glance glare glide glitter glow gnaw gobble gossip govern grab graze greet grin"
    " grind gripe groan grow growl grumble grunt guard guess gulp gush hand hang happen harass hatch hate haul haunt"
    " heal hear heat heave help hesitate hiccup hide hire hiss hit hoard hobble hold hoot hop host hover howl huddle"
    " hug hum hunt hurl hurry hurt identify ignore illustrate imagine imitate impress improve include increase"
    " indicate indulge inform inhabit inhale inherit injure insist inspect inspire insult insure intend interfere"
    " interrupt introduce invent invest investigate invite iron irritate itch jab jabber jingle jog join joke juggle"
    " jump justify keep kick kill kiss knead kneel knit knock know lack lament land last laugh lay lead leak lean leap"
    " learn leave lecture lend let lick lie lift like limp linger listen live load loan loathe lock loiter look lose"
    " lounge love lunge lurk maintain make manage marvel match mature mean measure meet melt meow merge migrate mimic"
    " mind miss mistake mistrust mix moan mock moderate motivate mourn move mow mumble munch murmur mutter nag nap"
    " narrate navigate need neglect neigh nestle nibble nip nod notice nudge nuzzle obey oblige observe obsess obtain"
    " occupy occur offend offer oink omit ooze open operate oppose order organise organize outgrow outlive overeat"
    " overhear overlook oversleep overtake owe own pack paddle paint pamper panic pant park pay peel perform permit"
    " persuade pester photograph pick pinch pity plan plant play plead please pluck plunge pocket point poke pose"
    " possess potter pounce pour pout practice practise praise prance pray preach preen prefer prepare present"
    " preserve press pretend prevent prick proceed produce promise pronounce propose prosper protect protest prove"
    " provide prowl prune publish puff pull punish purchase purr pursue push put quack quarrel queue quit quiver quote"
    " race rage raise ramble rant rattle reach react read reassure rebel receive recite reckon recline recognise"
    " recognize recommend record recover recycle reduce reek refer reflect refresh refuse regret reign reject rejoice"
    " relate relax release relish rely remain remark remember remind remove renovate rent repair repeat replace reply"
    " reproduce request require rescue research resemble resent reside resign resist resolve respect respond rest"
    " restore retreat retrieve return reuse reveal revel revise revolve reward ride ring roam roar roast rock roll"
    " romp roost rotate row rub ruin rule rumble rummage run rush sail saunter save savour saw say scamper scare"
    " scatter scavenge scoff scold scowl scrape scratch scrawl scream screech scribble scrub search seat see seek seem"
    " seize select sell send sense separate serve set settle sew shake share shatter shave shed shelter shine shiver"
    " shock shoot shop shout shove show shower shred shriek shrink shrug shudder shuffle shut sidle sigh sign simmer"
    " sing sink sip sit sizzle skate ski skid skim skip skulk slam slap sleep sleepwalk slide slip slither slouch slow"
    " slump slurp smash smear smell smile smirk smoke smother smuggle snack snap snarl snatch sneak sneeze sniff"
    " snigger snooze snore snort snuggle soak soar sob socialise socialize soften solve soothe sound speak spend spill"
    " spin spit splash spoil spook sprawl spray spread sprint sprout squabble squat squawk squeak squeal squeeze"
    " squint squirm stagger stain stalk stand stare start stash stay steal steam steer stick stink stir stoop stop"
    " store stray stretch stride strike stroke stroll struggle strum strut study stuff stumble stun stutter submit"
    " subscribe succeed suck suffer suggest suit sulk summon sunbathe supply support surf surprise surrender surround"
    " survive suspect sustain swallow swap sway swear sweat sweep swell swerve swim swing swish swoop sympathise"
    " tackle take talk tame tap taste teach tear tease tell tempt tend terrify terrorise test thank thaw think"
    " threaten thrive throw thump tick tickle tidy tie tilt tip tiptoe tire toddle tolerate topple toss totter touch"
    " train trample transform translate travel treat trek tremble trickle trip trot trudge trust try tuck tug tumble"
    " turn twinkle twirl twist twitch type understand unlock unwind upset urge use utter value vanish vary venture"
    " vibrate visit volunteer vomit waddle wade wag wail wait wake walk wallow wander want warble warm warn wash waste"
    " watch wave wear weave weep weigh weld wheeze whimper whine whirl whisper whistle whizz wiggle win wince wink"
    " wipe wish wobble wonder work worry wrap wreck wrestle wriggle write yap yawn yell yelp yodel yowl zoom"
)
"""As in "put it down": how an order begins."""

_ALSO = words(
    "absorb accelerate accompany accomplish accumulate accuse acknowledge adopt advance advertise affect alter amaze"
    " anticipate assign associate attach attain babysit become befriend begin bind bolster canter care carve chomp"
    " chop cite clamber clank classify collaborate commemorate commit compile comprise compute conceive conclude"
    " confront conserve constitute construct consume contribute convert convey coordinate correct correspond covet"
    " criticise criticize crush cultivate cure decode deepen define defy demolish demonstrate deny depict derive"
    " descend destine diagnose direct disable disappoint dissolve distinguish dominate don drape dub elevate elude"
    " embark embody embrace embroider emphasise emphasize enable encounter enhance enlighten enlist ensure evade evoke"
    " execute expire exude fail fend ferment flaunt flutter frequent fulfil galvanise generate gild guzzle haggle"
    " hinder idolise illuminate imbibe impersonate impose inject instruct interact interpret intrigue invade involve"
    " irk jot jut levy marry mesmerise mistreat narrow negotiate nurture originate oust outdo outrun outshine outsmart"
    " outweigh overflow overwhelm parry participate pave perceive perfect perplex persist pierce pollute ponder"
    " portray precede predict prescribe preside prevail prioritise profess progress prohibit promote propel provoke"
    " pry quaff qualify quench quieten rebuild recount regain regulate rehearse reinforce rejoin relieve relive"
    " replicate represent restrict retain rob rouse sadden safeguard satisfy sculpt secure seep shorten shun sift"
    " signify simplify siphon slaughter slobber slog slosh smooth sniffle specialise specialize splutter spurn steep"
    " stimulate strengthen strive submerge substitute supervise suppress swig swill symbolise thicken thin throb"
    " transmit triple undergo underline undermine unite unlace unnerve unpack unveil uphold usher veer verify vex"
    " videotape violate vouch waft wallop wane warrant weaken whet whittle widen wield wilt withdraw wither withstand"
    " witness woo worsen worship wreak yearn"
)
"""What somebody does; orders do not begin with these."""
_RATHER_THINGS = words(
    "access aid aim alarm alert anchor arrest award balance ban base battle beat bend bet blend block board book"
    " boost bore branch breed brew bribe bridge bud budget burst butter cage capture cart cast caution champion chant"
    " charge chill circle click clip clock clutch coat comb combat command comment concern contact cool cradle craft"
    " crash credit crop crown curl curse damage debate desert design die dip discharge display dodge double download"
    " drill dump duplicate echo edit escort exchange exit experience experiment export extract farm fashion feature"
    " film filter fire fish flash flavor flavour flip flood focus forge form frame fuel function further grace grade"
    " graduate grant grasp grate grill grip ground group guarantee guide hack halt handle harbour harm harness harvest"
    " head highlight hog honor honour hook hope humour impact import interest interview issue jam judge label launch"
    " license light limit line list lodge log lower lug lull map march mark mask master matter mention mentor mirror"
    " moonlight moor motor mount mug murder net network nick nurse object orbit outline overlap pad pair parade pass"
    " patrol pause peck pedal pen perch phone pile pilot pin pine plague plough plug poach poison polish pool pop"
    " pound power print probe process project prompt pump question quilt quip rally rank rate rear recall recruit"
    " reform regard register report reserve reverse review rhyme rig rinse rise risk round route sample scale scan"
    " scent scoop score screen scroll seal season seed sentence shade shift sight signal silence sketch skipper slash"
    " slice slope smack snooker snow span spare spark spell spike spiral sponsor sport spot spruce spur stable stack"
    " stamp star stem step sting stitch strain stress strip style sum surface swipe switch tag tail tailor tally"
    " target telephone text thread thrill thunder top total tote tour tow trade trail transfer transport trap treasure"
    " trigger trim trouble trump trumpet tune tutor tweet update upgrade vacuum view voice vote vow wed welcome whip"
    " whisk wound wow yield"
)
"""What is a thing more often than something done: "sports", "heads"."""


def third_person(verb: str) -> str:
    """ "carry" -> "carries"."""
    if re.search(r"(?:s|x|z|ch|sh|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"


FINITE = (
    _IRREGULAR
    | frozenset(map(third_person, BASE | _ALSO))
    | words(
        "wages busks longs pines wolfs whiles hails spans awaits droops accommodates charms retires votes unfolds"
        " hibernates dines rises cribs farts burps poops crackles charges waters herds peed pooped jumped wandered"
        " fainted danced performed competed returned laughed"
    )
)
"""What may follow a subject: "is", "carries", "must"."""
THINGS_TOO = frozenset(map(third_person, _RATHER_THINGS))
"""Verbs only right after "and" or a comma, and before what they are done to: ", sports a moustache"."""
OF_ONE = {
    "are": "is",
    "have": "has",
    "were": "was",
    "do": "does",
    "aren't": "isn't",
    "haven't": "hasn't",
    "weren't": "wasn't",
    "don't": "doesn't",
}
"""What "they" do, said of one."""
AMBIGUOUS = words(
    "answers approaches barks bears benefits bites blushes boasts broadcasts brushes builds calls camps challenges"
    " changes charges charms checks cheers chuckles claims coaches controls copies covers cracks crumbles cuts dashes"
    " dates declines defeats delays desires digests disguises drains dreams dresses drifts drinks drops eases ends"
    " exercises faces fancies favors favours flaps flicks flings floats flops flows flushes forces fries gains gambles"
    " gardens gasps glances glares glides glitters glows gossips grabs grinds grins gripes groans guesses gulps hails"
    " hands hatches hauls hiccups hoards hoots hosts hunts increases insults irons jabs jingles jokes kicks lands lays"
    " leaks learned lectures liked likes lives loads loans locks looks lounges loved lunges married marvels matches"
    " minds mistakes moans needs nips nudges orders packs paints pants parks permits photographs picks pinches pities"
    " plans plants played plays plunges pockets points pokes poses practices praises presents presses pricks promises"
    " protests puffs purchases queues quotes races rages raises rambles records reigns rejects releases remains"
    " remarks rents requests researches respects rests retired retreats rewards rides rings rocks romps rows ruins"
    " rules runs rushes sails saws scowls scrapes scribbles scrubs searches seats senses separates shakes shares"
    " shelters shivers shocks shops shouts shoves showers shows shrieks shrugs shuffles sighs signs sinks sips skates"
    " skids skips skis slams slaps slips slumps smears smells smirks smokes snacks snarls sneaks snorts soaks sobs"
    " sounds spans splashes sprays spreads sprints sprouts squabbles squats stains stalks stands started starts steams"
    " steps sticks stitches stopped stops stores strays strides strikes strokes strolls struts studied stumbles"
    " supplies supports surprises surrounds swallows swaps sweeps swells swerves swings tackles taps tears tests"
    " thumps ties tilts tips tires tosses trains travels treats treks trickles trips trots tucks tugs tumbles turns"
    " twinkles twirls twists twitches types upsets urges values ventures visits volunteers votes wails walks wanted"
    " warbles wastes watches waters waves weaves wheezes whirls winces winks wipes wonders works wraps wrecks wriggles"
    " yaps zooms"
)
"""Words of FINITE that are also things or states: a clause begins with them only where something follows."""
_OF_THINGS = words("and or from by with without for is are was were has have can must will need needs")
"""What follows things and states: "walks with grandpa", "loved by all"."""
ADVERBS = words(
    "always never only often usually sometimes also still really mostly just even not now rarely then first once"
    " already today nowadays soon"
)
PASTS = words(
    "left made sold bought bit built sent paid held told caught taught found felt kept stood met heard led drew flew"
    " saw cut hit put let hurt read fed fled dug beat bet bound struck swept swam spun stuck lit laid bore bred tried"
    " cried"
)
"""Pasts that are also something else: verbs only right after who did it."""
PARTICIPLES = words(
    "born bought made adopted stolen found named painted given built knitted handmade designed inherited rescued"
    " crocheted sewn carved woven printed signed engraved raised bred"
)
STATES = words(
    "washed kept stored trained tuned called parked grown used worn moored docked located situated hidden"
    " locked insured registered chipped damaged broken dented glued torn cracked scratched missing engaged"
    " covered closed based bonded filled lined decorated upholstered glazed framed attached mounted fitted lent fed"
)
"""Participles of what holds still: "Kept in the attic." is about now."""


_STOPPED = re.compile(r"\s*(?:$|[.,]|(?:in|at|from|last|this|early|after|when|since|and|to|two|three|\d)\b|\d)")
"""After "retired" the verb, unlike "retired teacher"."""


def begins_clause(verb: str, rest: str) -> bool:
    """Whether `verb` is one, given the text that follows it."""
    if verb not in FINITE or (verb == "retired" and not _STOPPED.match(rest)):
        return False
    following = re.match(r"\s+([\w']+)", rest)
    return verb not in AMBIGUOUS or (following is not None and following.group(1).casefold() not in _OF_THINGS)
