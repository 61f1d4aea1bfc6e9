<?php

/**
 * Makes a client of a caller nobody knows. Only where an administrator wants that: by default employees do it, by a button of the
 * incoming call.
 */

declare(strict_types=1);

namespace PinCalls\Identity;

use PinCalls\DbFault;
use PinCalls\Record\CallRecord;
use PinCalls\Settings\Settings;

class Newcomers
{
    /** What has fewer digits is a service's number, not a person's. */
    private const E164 = '/^\+\d{8,15}$/';

    private Settings $settings;
    private ClientFinder $clients;
    private UserFinder $users;
    private ClientMaker $maker;

    public function __construct(Settings $settings, ClientFinder $clients, UserFinder $users, ClientMaker $maker)
    {
        $this->settings = $settings;
        $this->clients = $clients;
        $this->users = $users;
        $this->maker = $maker;
    }

    /**
     * For a call that is seen for the first time and whose client nobody knows.
     *
     * @param int $owner of the call, who gets the client, too
     */
    public function clientOf(CallRecord $call, int $owner): ?Client
    {
        $module = (string) $this->settings->get('create_client');
        $number = $call->text('client_number_normalized');
        // Of a conversation its main record makes the client: the other phones' would make one each.
        $isCaller = $call->direction === 'incoming' && $call->is('lead') && preg_match(self::E164, $number);
        if (!in_array($module, ClientFinder::MODULES, true) || !$isCaller || $this->users->byMobile($number) !== 0) {
            return null;
        }
        try {
            $crmId = $this->maker->make($module, $call->text('client_name') ?: $number, $number, $call->text('did'), $owner);
        } catch (DbFault $fault) {
            throw $fault;
        } catch (\Throwable $fault) {
            // The call is worth more than its client: a field made mandatory, somebody's event handler.
            error_log("Calls: no client made of $number: " . $fault->getMessage());
            return null;
        }
        $this->clients->forgetFound();
        return $this->clients->byIds([$crmId])[0] ?? null;
    }
}
