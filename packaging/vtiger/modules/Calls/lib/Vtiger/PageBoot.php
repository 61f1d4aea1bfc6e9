<?php

/** The facts a page starts with, and the token that lets it ask live.php without a session. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Identity\Whereabouts;
use PinCalls\Status\EventLinks;
use PinCalls\Status\LiveToken;

final class PageBoot
{
    private const TOKEN_SECONDS = 900;

    private Services $services;

    public function __construct(Services $services)
    {
        $this->services = $services;
    }

    /** @return array<string, mixed> */
    public function facts(int $userId): array
    {
        $services = $this->services;
        if (!$services->rights->maySeeCalls($userId)) {
            return ['allowed' => false];
        }
        $services->seats->seen($userId);
        $extensions = $services->users->extensionsNow($userId);
        $rows = $services->groups->of($services->rights->groupsOf($userId));
        $pbx = $extensions[0]['pbx'] ?? '';
        $events = new EventLinks($services->connectors, $services->users, $services->links, $services->clock);
        $token = new LiveToken(LiveToken::keyOf((string) vglobal('application_unique_key')));
        return [
            'allowed' => true,
            'token' => $token->make([
                'user' => $userId,
                'connectors' => array_values(array_filter(array_column($rows, 'connector'))),
                'pbx' => $pbx !== '' ? $pbx : (string) ($rows[0]['pbx'] ?? ''),
            ], (int) $services->clock->now() + self::TOKEN_SECONDS),
            'may_call' => $services->rights->mayUse($userId, 'ClickToCall'),
            'may_take' => $services->rights->mayUse($userId, 'TakeExtension'),
            'may_create' => $this->mayCreate(),
            'phone_labels' => $this->phoneLabels(),
            'extension' => $extensions[0]['extension'] ?? '',
            'seat' => $services->seats->of($userId),
            'pbxs' => (new SeatDesk($services))->pbxs(),
            'strings' => $this->strings(),
            'popup' => (bool) $services->settings->get('popup'),
            'whereabouts' => (new Whereabouts($services->db, $services->seats))->of($userId),
            'events' => $services->settings->get('popup') ? $events->of($userId) : [],
        ];
    }

    /** @return array<string, string> the labels of CallsHeader.js in the user's language */
    private function strings(): array
    {
        $language = (string) \Vtiger_Language_Handler::getLanguage();
        $strings = \Vtiger_Language_Handler::getModuleStringsFromFile($language, 'Calls')['jsLanguageStrings'] ?? [];
        $english = \Vtiger_Language_Handler::getModuleStringsFromFile('en_us', 'Calls')['jsLanguageStrings'] ?? [];
        return $strings + $english;
    }

    /**
     * A record's head and summary do not say which fields are phones; their labels do.
     *
     * @return array<string, list<string>> module to labels in the user's language
     */
    private function phoneLabels(): array
    {
        $rows = $this->services->db->rows(
            'SELECT t.name, f.fieldlabel FROM vtiger_field f INNER JOIN vtiger_tab t ON t.tabid = f.tabid'
            . " WHERE f.uitype = 11 AND f.presence IN (0, 2) AND t.presence = 0 AND t.name <> 'Users'"
        );
        $labels = [];
        foreach ($rows as $row) {
            $labels[(string) $row['name']][] = trim((string) vtranslate((string) $row['fieldlabel'], (string) $row['name']));
        }
        return $labels;
    }

    /** @return list<string> */
    private function mayCreate(): array
    {
        return array_values(array_filter(['Leads', 'Contacts', 'Accounts'], static function (string $module): bool {
            return (bool) \Users_Privileges_Model::isPermitted($module, 'CreateView');
        }));
    }
}
