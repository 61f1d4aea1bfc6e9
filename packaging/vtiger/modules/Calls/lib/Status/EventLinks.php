<?php

/**
 * Links by which a page hears from the connectors themselves what rings for its user: exactly his phones, for a while. Given only where
 * that is all there is to hear; else the page does as well by asking the CRM.
 */

declare(strict_types=1);

namespace PinCalls\Status;

use PinCalls\Clock;
use PinCalls\Identity\UserFinder;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Connectors;
use PinCalls\Wire\Link;

class EventLinks
{
    /** Twice as long as a page keeps its facts. */
    public const GOOD_SECONDS = 600;

    private Connectors $connectors;
    private UserFinder $users;
    private LinkState $links;
    private Clock $clock;

    public function __construct(Connectors $connectors, UserFinder $users, LinkState $links, Clock $clock)
    {
        $this->connectors = $connectors;
        $this->users = $users;
        $this->links = $links;
        $this->clock = $clock;
    }

    /**
     * @return list<array{url: string, origins: list<string>, extensions: list<string>}> one for each connector that may ring this user;
     *     none where one of them cannot be listened to
     */
    public function of(int $userId): array
    {
        $mobiles = $this->mobiles($userId);
        $links = [];
        foreach ($this->connectors->enabled() as $connector) {
            if ($connector->heardAt === 0) {
                continue;
            }
            $extensions = $this->extensions($connector, $userId);
            if ($extensions === [] && $mobiles === []) {
                continue;
            }
            $origins = self::origins($connector);
            $base = self::base($connector);
            if ($origins === [] || $base === '' || $mobiles === null || $this->links->silentSince($connector) > 0) {
                return [];
            }
            $target = '/api/v1/events?' . http_build_query([
                'key' => $connector->key, 'expires' => (int) $this->clock->now() + self::GOOD_SECONDS,
                'extension' => implode(',', $extensions), 'phone' => implode(',', $mobiles),
            ]);
            $links[] = [
                'url' => $base . Link::signed($connector->secret, $target), 'origins' => $origins, 'extensions' => $extensions,
            ];
        }
        return $links;
    }

    /** @return list<string> `msk/101`: those that are this user's on the connector's exchanges */
    private function extensions(Connector $connector, int $userId): array
    {
        $extensions = [];
        foreach ($this->users->extensionsNow($userId) as $own) {
            foreach ($connector->pbxs() as $pbx) {
                $his = ($own['pbx'] === '' || $own['pbx'] === $pbx)
                    && $this->users->byExtension($pbx, $own['extension'], $this->clock->now()) === $userId;
                if ($his && strpos($pbx . $own['extension'], ',') === false) {
                    $extensions[] = $pbx . '/' . $own['extension'];
                }
            }
        }
        return array_values(array_unique($extensions));
    }

    /** @return list<string>|null his mobile, if its ringing is his; null: it is in no form the connector could compare */
    private function mobiles(int $userId): ?array
    {
        $mobiles = [];
        foreach ($this->users->mobiles($this->users->users()[$userId] ?? ['phone_mobile' => '']) as $mobile) {
            if ($this->users->byMobile($mobile) !== $userId) {
                continue;
            }
            if ($mobile[0] !== '+') {
                return null;
            }
            $mobiles[] = $mobile;
        }
        return $mobiles;
    }

    /** @return list<string> */
    private static function origins(Connector $connector): array
    {
        $origins = $connector->heartbeat['event_origins'] ?? [];
        return is_array($origins) ? array_values(array_filter($origins, 'is_string')) : [];
    }

    private static function base(Connector $connector): string
    {
        $public = $connector->heartbeat['public_url'] ?? '';
        return rtrim(is_string($public) && $public !== '' ? $public : $connector->url, '/');
    }
}
