"""What the pages say, in each language that they can be read in. No page says anybody's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.programme.definitions import Campaign


@dataclass(frozen=True, slots=True)
class Words:
    """One language. `{whose}` is ` from <organisation>`, or nothing when that is not known."""

    code: str
    name: str
    whose: str

    stop_title: str
    stop_heading: str
    stop_text: str
    stop_button: str
    stopped_title: str
    stopped_heading: str
    stopped_text: str
    on_its_way: str
    close: str
    choose_instead: str

    missing_title: str
    missing_heading: str
    missing_text: str
    later_title: str
    later_heading: str
    later_text: str
    nothing_heading: str

    choose_title: str
    choose_heading: str
    choose_text: str
    no_change: str
    topics: str
    topic_join: str
    topic_leave: str
    often: str
    often_everything: str
    often_weekly: str
    often_important: str
    language: str
    area: str
    area_hint: str
    area_wrong: str
    seen: str
    seen_text: str
    seen_all: str
    seen_links: str
    seen_none: str
    save: str
    stop_all: str
    wrong_heading: str
    saved_title: str
    saved_heading: str
    saved_text: str
    saved_area: str
    nothing_changed: str


ENGLISH: Final = Words(
    code="en", name="English", whose=" from {organisation}",
    stop_title="Unsubscribe",
    stop_heading="Stop these emails?",
    stop_text="You will get no more emails{whose}.",
    stop_button="Unsubscribe",
    stopped_title="Unsubscribed",
    stopped_heading="You are unsubscribed",
    stopped_text="You will get no more emails{whose}.",
    on_its_way="An email that was already on its way may still arrive.",
    close="You can close this page.",
    choose_instead="Choose what you get instead",
    missing_title="Link not found",
    missing_heading="This link does not work",
    missing_text="It may have been cut short on the way. Please go back to the email and use the "
    "link there, or copy the whole of it.",
    later_title="Please try again",
    later_heading="Please try again in a minute",
    later_text="We could not do this just now. Nothing was changed.",
    nothing_heading="There is nothing here",
    choose_title="Choose what you get",
    choose_heading="Choose what you get",
    choose_text="Change only what you want to change: everything else stays as it is. We do not "
    "show what you chose before, because an email can be passed on.",
    no_change="Leave as it is",
    topics="What about",
    topic_join="Send me these",
    topic_leave="Stop these",
    often="How often",
    often_everything="Everything",
    often_weekly="At most one email a week",
    often_important="Only what is important",
    language="Language",
    area="Your postcode",
    area_hint="So that we write about your neighbourhood. Leave it empty if it is unchanged.",
    area_wrong="This does not look like a postcode: write it like FK1 1AA, or leave it empty.",
    seen="What we may see",
    seen_text="It helps us to write less of what nobody reads.",
    seen_all="You may see when I open an email, and which links I follow",
    seen_links="You may see which links I follow",
    seen_none="Nothing",
    save="Save",
    stop_all="Stop all emails",
    wrong_heading="Please look at this again",
    saved_title="Saved",
    saved_heading="Saved",
    saved_text="This is what you changed:",
    saved_area="Your area",
    nothing_changed="You changed nothing, so everything stays as it is.",
)  # fmt: skip

WELSH: Final = Words(
    code="cy", name="Cymraeg", whose=" gan {organisation}",
    stop_title="Dad-danysgrifio",
    stop_heading="Atal yr e-byst hyn?",
    stop_text="Ni fyddwch yn cael rhagor o e-byst{whose}.",
    stop_button="Dad-danysgrifio",
    stopped_title="Wedi dad-danysgrifio",
    stopped_heading="Rydych wedi dad-danysgrifio",
    stopped_text="Ni fyddwch yn cael rhagor o e-byst{whose}.",
    on_its_way="Gall e-bost a oedd eisoes ar ei ffordd gyrraedd o hyd.",
    close="Gallwch gau'r dudalen hon.",
    choose_instead="Dewis beth a gewch yn lle hynny",
    missing_title="Heb ganfod y ddolen",
    missing_heading="Nid yw'r ddolen hon yn gweithio",
    missing_text="Efallai iddi gael ei thorri'n fyr ar y ffordd. Ewch yn ôl at yr e-bost a "
    "defnyddiwch y ddolen yno, neu copïwch hi i gyd.",
    later_title="Rhowch gynnig arall arni",
    later_heading="Rhowch gynnig arall arni ymhen munud",
    later_text="Nid oedd modd gwneud hyn nawr. Ni newidiwyd dim.",
    nothing_heading="Does dim byd yma",
    choose_title="Dewis beth a gewch",
    choose_heading="Dewis beth a gewch",
    choose_text="Newidiwch yr hyn yr ydych am ei newid yn unig: bydd popeth arall yn aros fel y "
    "mae. Nid ydym yn dangos eich dewis blaenorol, gan y gall e-bost gael ei anfon ymlaen.",
    no_change="Gadael fel y mae",
    topics="Am beth",
    topic_join="Anfonwch y rhain",
    topic_leave="Atal y rhain",
    often="Pa mor aml",
    often_everything="Popeth",
    often_weekly="Un e-bost yr wythnos ar y mwyaf",
    often_important="Dim ond yr hyn sy'n bwysig",
    language="Iaith",
    area="Eich cod post",
    area_hint="Er mwyn inni ysgrifennu am eich cymdogaeth. Gadewch yn wag os nad yw wedi newid.",
    area_wrong="Nid yw hwn yn edrych fel cod post: ysgrifennwch ef fel CF10 1AA, neu gadewch yn "
    "wag.",
    seen="Beth y cawn ei weld",
    seen_text="Mae'n ein helpu i ysgrifennu llai o'r hyn nad oes neb yn ei ddarllen.",
    seen_all="Cewch weld pryd rwy'n agor e-bost, a pha ddolenni rwy'n eu dilyn",
    seen_links="Cewch weld pa ddolenni rwy'n eu dilyn",
    seen_none="Dim byd",
    save="Cadw",
    stop_all="Atal pob e-bost",
    wrong_heading="Edrychwch ar hyn eto",
    saved_title="Wedi'i gadw",
    saved_heading="Wedi'i gadw",
    saved_text="Dyma beth a newidiwyd gennych:",
    saved_area="Eich ardal",
    nothing_changed="Ni newidioch ddim, felly mae popeth yn aros fel y mae.",
)  # fmt: skip

SPANISH: Final = Words(
    code="es", name="Español", whose=" de {organisation}",
    stop_title="Darse de baja",
    stop_heading="¿Dejar de recibir estos correos?",
    stop_text="No recibirá más correos{whose}.",
    stop_button="Darme de baja",
    stopped_title="Baja confirmada",
    stopped_heading="Se ha dado de baja",
    stopped_text="No recibirá más correos{whose}.",
    on_its_way="Puede que aún llegue un correo que ya estaba en camino.",
    close="Puede cerrar esta página.",
    choose_instead="Elegir qué recibir en su lugar",
    missing_title="Enlace no encontrado",
    missing_heading="Este enlace no funciona",
    missing_text="Puede que se haya cortado por el camino. Vuelva al correo y use el enlace que "
    "hay allí, o cópielo entero.",
    later_title="Inténtelo de nuevo",
    later_heading="Inténtelo de nuevo en un minuto",
    later_text="No hemos podido hacerlo ahora. No se ha cambiado nada.",
    nothing_heading="Aquí no hay nada",
    choose_title="Elija qué recibir",
    choose_heading="Elija qué recibir",
    choose_text="Cambie solo lo que quiera cambiar: todo lo demás queda como está. No mostramos lo "
    "que eligió antes, porque un correo puede reenviarse.",
    no_change="Dejar como está",
    topics="Sobre qué",
    topic_join="Enviádmelos",
    topic_leave="No más de estos",
    often="Con qué frecuencia",
    often_everything="Todo",
    often_weekly="Como mucho un correo por semana",
    often_important="Solo lo importante",
    language="Idioma",
    area="Su código postal",
    area_hint="Para escribirle sobre su barrio. Déjelo vacío si no ha cambiado.",
    area_wrong="Esto no parece un código postal: escríbalo como 10001, o déjelo vacío.",
    seen="Qué podemos ver",
    seen_text="Nos ayuda a escribir menos de lo que nadie lee.",
    seen_all="Pueden ver cuándo abro un correo y qué enlaces sigo",
    seen_links="Pueden ver qué enlaces sigo",
    seen_none="Nada",
    save="Guardar",
    stop_all="Dejar de recibir todos los correos",
    wrong_heading="Revise esto, por favor",
    saved_title="Guardado",
    saved_heading="Guardado",
    saved_text="Esto es lo que ha cambiado:",
    saved_area="Su zona",
    nothing_changed="No ha cambiado nada, así que todo queda como está.",
)  # fmt: skip

LANGUAGES: Final = {words.code: words for words in (ENGLISH, WELSH, SPANISH)}


def words_for(campaign: Campaign | None, asked: str = "") -> Words:
    """The language that was asked for, if it is among the campaign's; else the campaign's own; else
    English, which is where the pages are written first.
    """
    if campaign is None:
        return ENGLISH
    offered = (asked,) if asked in campaign.languages else ()
    for code in (*offered, campaign.language):
        found = LANGUAGES.get(code.partition("-")[0].casefold())
        if found is not None:
            return found
    return ENGLISH


def offered_words(campaign: Campaign | None) -> list[Words]:
    """The languages of the campaign that the pages can be read in."""
    codes = campaign.languages if campaign is not None else {}
    return [LANGUAGES[code] for code in codes if code in LANGUAGES]
