<?php

/** Mails the administrators when telephony has not worked for ten minutes, and when it works again: once each. */

declare(strict_types=1);

namespace PinCalls\Status;

use PinCalls\Clock;
use PinCalls\Settings\Connectors;
use PinCalls\Settings\Settings;

class Alarm
{
    public const AFTER_SECONDS = 600;

    private LinkState $links;
    private Connectors $connectors;
    private Settings $settings;
    private Clock $clock;
    private Mailer $mailer;

    public function __construct(LinkState $links, Connectors $connectors, Settings $settings, Clock $clock, Mailer $mailer)
    {
        $this->links = $links;
        $this->connectors = $connectors;
        $this->settings = $settings;
        $this->clock = $clock;
        $this->mailer = $mailer;
    }

    public function check(): void
    {
        $now = (int) $this->clock->now();
        /** @var array<string, int> $told what we have mailed about: name => since */
        $told = (array) $this->settings->get('alarm_sent');
        $before = $told;
        $broken = [];
        foreach ($this->links->faults([], '') as $fault) {
            $name = $fault['connector'] . ($fault['pbx'] === '' ? '' : ' / ' . $fault['pbx']);
            $broken[$name] = $fault['since'];
        }
        foreach ($broken as $name => $since) {
            if (!isset($told[$name]) && $now - $since >= self::AFTER_SECONDS && $this->tellBroken($name, $since)) {
                $told[$name] = $since;
            }
        }
        foreach (array_diff_key($told, $broken) as $name => $since) {
            if ($this->tellBack((string) $name, (int) $since, $now)) {
                unset($told[$name]);
            }
        }
        if ($told !== $before) {
            $this->settings->set('alarm_sent', $told);
        }
    }

    private function tellBroken(string $name, int $since): bool
    {
        $when = gmdate('Y-m-d H:i', $since) . ' UTC';
        return $this->mailer->toAdministrators(
            "Телефония не работает / Telephony is down: $name",
            "Нет связи: $name, с $when. Звонки не теряются: коннектор передаст их, когда связь вернётся.\n\n"
            . "No link: $name, since $when. No call is lost: the connector delivers them when the link is back.\n"
        );
    }

    private function tellBack(string $name, int $since, int $now): bool
    {
        $minutes = intdiv(max(0, $now - $since), 60);
        return $this->mailer->toAdministrators(
            "Телефония работает снова / Telephony is back: $name",
            "Связь восстановлена: $name, перерыв $minutes мин.\n\nThe link is back: $name, it was down for $minutes min.\n"
        );
    }
}
