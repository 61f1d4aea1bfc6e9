<?php

/** Runs the endpoint inside vTiger and sees to it that even a dying PHP answers in the agreed words. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Clock;
use PinCalls\Operation\Records;
use PinCalls\Wire\Answer;
use PinCalls\Wire\Endpoint;
use PinCalls\Wire\Request;

final class ConnectorDoor
{
    private const FATAL = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;

    private Clock $clock;
    private bool $answered = false;
    private ?Records $records = null;
    private ?SteadyDatabase $database = null;
    /** Given back when memory runs out, so that there is some to answer with. */
    private ?string $reserve;

    public function __construct(Clock $clock)
    {
        $this->clock = $clock;
        $this->reserve = str_repeat('x', 1048576);
    }

    /** From here on nothing but our own JSON leaves this request. */
    public function guard(): void
    {
        ini_set('display_errors', '0');
        set_time_limit(300);
        ignore_user_abort(true);
        register_shutdown_function(function (): void {
            $this->lastWords();
        });
        set_exception_handler(function (\Throwable $fault): void {
            $this->send(Answer::error(500, $this->clock->wire(), 'internal', Endpoint::inWords($fault)));
        });
    }

    public function open(): void
    {
        $began = microtime(true);
        $request = self::request();
        if (!$this->moduleIsOn()) {
            $message = 'The module is disabled in vTiger\'s Module Manager.';
            $this->send(Answer::error(503, $this->clock->wire(), 'unavailable', $message));
            return;
        }
        $this->database = SteadyDatabase::install();
        $this->becomeAdministrator();
        $services = Services::get();
        $this->records = $services->records($this->database);
        $endpoint = new Endpoint($services->connectors, $this->clock, $services->operations($this->records));
        $answer = $endpoint->answer($request);
        $tookMs = (int) ((microtime(true) - $began) * 1000);
        $this->send($answer);
        $this->log($services, $request, $answer, $tookMs);
    }

    private static function request(): Request
    {
        $headers = [];
        foreach ($_SERVER as $name => $value) {
            if (is_string($value) && strpos($name, 'HTTP_') === 0) {
                $headers[str_replace('_', '-', substr($name, 5))] = $value;
            }
        }
        $uri = (string) ($_SERVER['REQUEST_URI'] ?? '');
        $query = strpos($uri, '?') === false ? '' : substr($uri, strpos($uri, '?'));
        // A proxy may have taken a folder off the path; vTiger's own address still has it.
        $site = rtrim((string) parse_url((string) vglobal('site_URL'), PHP_URL_PATH), '/');
        $paths = [$uri, $site . '/modules/Calls/callbacks/Connector.php' . $query];
        $body = (string) file_get_contents('php://input', false, null, 0, Endpoint::BODY_BYTES_MAX + 1);
        return new Request((string) ($_SERVER['REQUEST_METHOD'] ?? ''), array_values(array_unique($paths)), $headers, $body);
    }

    private function moduleIsOn(): bool
    {
        return vtlib_isModuleActive(EntityStore::MODULE);
    }

    /** vTiger writes records as somebody; ours are written with an administrator's rights and assigned by our own rule. */
    private function becomeAdministrator(): void
    {
        $admin = \Users::getActiveAdminUser();
        vglobal('current_user', $admin);
        \Users_Record_Model::getCurrentUserModel();
        vglobal('current_language', $admin->language ?: vglobal('default_language'));
        vglobal('app_strings', return_application_language(vglobal('current_language')));
    }

    private function log(Services $services, Request $request, Answer $answer, int $tookMs): void
    {
        $connector = $services->connectors->byKey($request->header('X-PIN-Key'));
        if ($connector === null) {
            return;
        }
        $body = json_decode($request->body, true);
        $op = is_array($body) && is_string($body['op'] ?? null) ? $body['op'] : '?';
        if ($answer->status === 401) {
            $services->log->writeRefused($connector->id, $tookMs, $answer->json());
            return;
        }
        // A poll that brought nothing would push everything worth reading out of the log.
        if ($op !== 'commands' || $answer->status !== 200 || $answer->body['commands'] !== []) {
            $services->log->write($connector->id, 'in', $op, $answer->status, $tookMs, $request->body, $answer->json());
        }
    }

    private function send(Answer $answer): void
    {
        if ($this->answered) {
            return;
        }
        $this->answered = true;
        while (ob_get_level() > 0) {
            ob_end_clean();
        }
        $json = $answer->json();
        if (!headers_sent()) {
            http_response_code($answer->status);
            header('Content-Type: application/json; charset=UTF-8');
            header('Cache-Control: no-store');
            header('Content-Length: ' . strlen($json));
        }
        echo $json;
        if (function_exists('fastcgi_finish_request')) {
            fastcgi_finish_request();
        }
    }

    /** PHP is going down: out of memory, a fatal error, or somebody's die(). */
    private function lastWords(): void
    {
        $this->reserve = null;
        if ($this->answered) {
            return;
        }
        $error = error_get_last();
        $fatal = $error !== null && ($error['type'] & self::FATAL) !== 0;
        $words = $fatal ? mb_substr(strtok((string) $error['message'], "\n") ?: '', 0, 300) : 'the script was ended by a die()';
        if ($this->database !== null) {
            $this->database->abandon();
        }
        $half = $this->records === null ? null : $this->records->answerAfterDeath($words);
        $this->send($half !== null
            ? Answer::ok($this->clock->wire(), $half)
            : Answer::error(500, $this->clock->wire(), 'internal', "vTiger stopped: $words"));
    }
}
